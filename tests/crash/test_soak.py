from soak import GROWTH_MAX, soak


def test_memory_is_flat_however_many_rows_have_come(tmp_path):
    soaked = soak(tmp_path, rows=320_000, models=10, samples=8)

    assert soaked.accepted == soaked.sent == 320_000
    assert soaked.growth < GROWTH_MAX, str(soaked)
