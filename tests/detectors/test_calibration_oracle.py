"""The calibration against loops written from the formulas: a column, a block, a component at a time."""

import math

import numpy as np
import pytest
from calibrating import HOUR_S, drawn, hours_of, past_of, starts_of
from scipy import linalg, stats

from detectors.calibration.calibrated import Calibration
from detectors.calibration.components import LEVELS, bases_of, orthonormal
from detectors.calibration.pvalues import cauchy, normal_of_student, student_of_normal
from detectors.calibration.seasons import SEASONS, STRATA, repeats, strata
from detectors.calibration.traits import KINDS

SHAPES = [("numeric", 10), ("categorical", 6), ("numeric", 2), ("categorical", 2), ("numeric", 24)]
ROWS_MIN = 30


def uneven(rng, n_windows, low=150, high=1500):
    return np.exp(rng.uniform(math.log(low), math.log(high), n_windows)).astype(np.int64)


def noisy(rng, n_windows, deviation=0.1):
    return deviation * rng.standard_normal((n_windows, len(SHAPES)))


def naive_merge(expected, held):
    groups, current = [], []
    for place in range(len(expected)):
        current.append(place)
        if sum(expected[k] for k in current) >= 9 and sum(held[k] for k in current) >= 45:
            groups.append(current)
            current = []
    if current and groups:
        groups[-1] += current
    elif current:
        groups = [current]
    return groups


def naive_polynomials(shares):
    """Gram and Schmidt, twice, on powers of the mid-rank."""
    middle = [sum(shares[:k]) + shares[k] / 2 for k in range(len(shares))]
    found = [np.ones(len(shares))]
    for power in range(1, len(shares)):
        now = np.array([(2 * x - 1) ** power for x in middle])
        for _ in range(3):
            for other in found:
                now = now - (shares * now * other).sum() * other
            now = now / math.sqrt((shares * now * now).sum())
        found.append(now)
    return np.stack(found[1:], axis=1) if len(found) > 1 else np.empty((len(shares), 0))


class Naive:
    """One trait of one column; the counts of its groups by window."""

    def __init__(self, past, trait, hours, segments, *, held_out=None):
        traits = past.traits
        column, self.kind = int(traits.column[trait]), KINDS[traits.kind[trait]]
        self.ordered = bool(traits.ordered[trait])
        first = sum(size + 2 for _, size in SHAPES[:column])
        size = SHAPES[column][1]
        self.places = list(range(first, first + size))
        if SHAPES[column][0] == "categorical":
            whole = segments[:, self.places].sum(axis=0)
            self.places = sorted(self.places, key=lambda place: -whole[place - first])
        self.share_place = first + size + (self.kind == "invalid")
        self.all_places = list(range(first, first + size + 2))
        self.past, self.hours = past, strata(past.season, hours)
        self.windows = np.array([self.groups_of(row) for row in segments])
        self.reference = self.windows.sum(axis=0)
        use = np.ones(len(segments), dtype=bool) if held_out is None else ~held_out
        self.use = use

    def groups_of(self, row):
        if self.kind == "values":
            return [int(row[place]) for place in self.places]
        part = int(row[self.share_place])
        return [sum(int(row[place]) for place in self.all_places) - part, part]

    def merged(self, rows):
        level = max([level for level in LEVELS if level <= rows], default=LEVELS[0])
        shares = self.reference / self.reference.sum()
        if self.kind != "values":
            return [[0], [1]]
        return naive_merge([share * level for share in shares], self.reference)

    def judged(self, rows_of_windows, hours, scale):
        own = np.array([self.groups_of(row) for row in rows_of_windows])
        n = own.sum()
        if n < ROWS_MIN:
            return None
        ways = self.merged(n)
        past = np.stack([self.windows[:, way].sum(axis=1) for way in ways], axis=1)
        own = np.stack([own[:, way].sum(axis=1) for way in ways], axis=1)
        q = past.sum(axis=0) / past.sum()
        phi = naive_polynomials(q)
        means = {}
        for stratum in range(168):
            some = past[self.use & (self.hours == stratum)].sum(axis=0)
            whole = past[self.use].sum(axis=0)
            means[stratum] = some / some.sum() if some.sum() else whole / whole.sum()
        expected = sum(row.sum() * means[s] for row, s in zip(own, strata(self.past.season, hours), strict=True))
        d = ((own.sum(axis=0) - expected) / n) @ phi
        blocks = {s: self.blocks(past, phi, means, s) for s in self.past.scales}
        turn = np.eye(phi.shape[1])
        if phi.shape[1] > 1:
            axes_scale = max([s for s in blocks if s <= 6], default=min(blocks))
            every = np.array([x for x, _ in blocks[axes_scale]])
            turn = linalg.eigh(every.T @ every)[1][:, ::-1]
        axes = {"principal": turn, "plain": np.eye(phi.shape[1])}
        found = {"n": n, "distance": float(((own.sum(axis=0) - expected) ** 2 / q).sum() / n**2)}
        for name, matrix in axes.items():
            known = self.known(blocks, matrix, past, principal=name == "principal")
            v = np.array([self.variance(n, *known[scale][:2], known["own"][j], j) for j in range(matrix.shape[1])])
            t = (d @ matrix) / np.sqrt(v)
            dof = known[scale][2]
            z = [
                np.sign(t_j) * (8 * df + 1) / (8 * df + 3) * math.sqrt(df * math.log(1 + t_j**2 / df))
                for t_j, df in zip(t, dof, strict=True)
            ]
            found[name] = {
                "d": d @ matrix,
                "V": v,
                "t": t,
                "z": np.array(z),
                "dof": np.array(dof),
                "z_blocks": known[scale][3],
            }
        return self.pvalues(found, q)

    def pvalues(self, found, q):
        principal, plain = found["principal"], found["plain"]
        size = principal["z"].size
        found["size"] = size
        if not size:
            return None
        blocks = np.array(principal["z_blocks"]).reshape(-1, size)
        correlations = 0.0
        n = max(int(blocks.any(axis=1).sum()), 3)
        for i in range(size):
            for j in range(size):
                if i != j:
                    a, b = blocks[:, i], blocks[:, j]
                    correlations += (a @ b) ** 2 / ((a @ a) * (b @ b))
        correlations = max((correlations - size * (size - 1) / (n - 1)) / (1 - 1 / (n - 1)), 0)
        sums = (blocks**2).sum(axis=1)
        mean = sums.sum() / n
        of_sums = 2 * mean**2 / ((sums**2).sum() / n - mean**2)
        nu = min(size**2 / (size + correlations), max(of_sums, 1)) if size > 1 else 1.0
        found["nu"] = nu
        found["square"] = (principal["t"] ** 2).sum()
        found["omnibus"] = stats.chi2.sf(nu / size * (principal["z"] ** 2).sum(), nu)
        found["effect"] = max(found["distance"] - principal["V"].sum(), 0)
        if self.kind != "values":
            found["omnibus"] = self.share_pvalue(found["omnibus"], plain["d"][0], plain["V"][0], q)
        found["p"] = found["omnibus"]
        if self.ordered:
            parts = [2 * stats.norm.sf(abs(z)) for z in plain["z"][:2]] + [found["omnibus"]]
            found["location"] = parts[0]
            found["scale"] = parts[1] if size > 1 else math.nan
            found["p"] = stats.cauchy.sf(sum(math.tan((0.5 - p) * math.pi) for p in parts) / len(parts))
        found["variance"] = plain["V"][0] if self.ordered else principal["V"][0]
        found["direction"] = plain["z"][0] if self.ordered or self.kind != "values" else math.nan
        return found

    def share_pvalue(self, otherwise, d, v, q):
        share, worth = q[1], 1 / v
        if worth * min(share, 1 - share) >= 10:
            return otherwise
        if share > 0.5:
            share, d = 1 - share, -d
        seen = min(max(share + d * math.sqrt(share * (1 - share)), 0), 1) * worth
        more = stats.beta.cdf(share, seen, worth - seen + 1) if seen > 0 else 1
        less = stats.beta.sf(share, seen + 1, worth - seen) if worth > seen else 1
        return min(1, 2 * min(more, less))

    def blocks(self, past, phi, means, scale):
        """Difference per row, and rows, of each block."""
        places = self.past.places
        found = []
        for block in range((int(places[-1]) + 1) // scale):
            inside = places // scale == block
            if not inside.any() or (~self.use[inside]).any():
                continue
            rows = past[inside].sum()
            excess = past[inside].sum(axis=0) - sum(
                row.sum() * means[s] for row, s in zip(past[inside], self.hours[inside], strict=True)
            )
            found.append((excess / max(rows, 1) @ phi, int(rows)))
        return found

    def known(self, blocks, matrix, past, *, principal):
        """Of each scale: excess, n_ref, degrees of freedom and standardised blocks, of each axis; and the own error."""
        found, longest = {}, max(blocks)
        for scale, some in blocks.items():
            enough = [(d @ matrix, rows) for d, rows in some if rows >= ROWS_MIN]
            times = self.past.repeats or len(enough)
            n_ref = len(enough) / sum(1 / rows for _, rows in enough)
            s2, dof, standardised, excesses = [], [], [], []
            share = self.by_chance([d for d, _ in enough]) if principal else 0.0
            mean = (
                sum((d[j] ** 2) for d, _ in enough for j in range(matrix.shape[1]))
                / len(enough)
                / max(matrix.shape[1], 1)
            )
            rows_sum = sum(rows for _, rows in enough)
            mean_by_rows = sum(rows * d[j] ** 2 for d, rows in enough for j in range(matrix.shape[1])) / rows_sum
            mean_by_rows /= max(matrix.shape[1], 1)
            for j in range(matrix.shape[1]):
                squares = [d[j] ** 2 for d, _ in enough]
                out = (times + 1) / (times - 1)
                s2.append(((1 - share) * sum(squares) / len(enough) + share * mean) * out)
                by_rows = sum(rows * d[j] ** 2 for d, rows in enough) / rows_sum
                by_rows = ((1 - share) * by_rows + share * mean_by_rows) * out
                excess = max(s2[j] - 1 / n_ref, by_rows - len(enough) / rows_sum, 0)
                excesses.append(excess)
                z = np.array(
                    [
                        d[j] / math.sqrt(1 / rows + excess * max(1, n_ref / rows)) if rows >= ROWS_MIN else 0
                        for d, rows in ((d @ matrix, rows) for d, rows in some)
                    ]
                )
                second, fourth = (z**2).sum() / len(enough), (z**4).sum() / len(enough)
                df = min(max(2 * len(enough) / (fourth / second**2 - 1), 3), max(len(enough), 3))
                a = min(max((z[1:] * z[:-1]).sum() / (z**2).sum(), 0), 0.99)
                dof.append(max(df * (1 - a**2) / (1 + a**2), 1))
                standardised.append(z)
            found[scale] = excesses, n_ref, dof, np.array(standardised).T, s2
        counted = sum(rows >= ROWS_MIN for _, rows in blocks[longest])
        m = past[self.use].sum()
        found["own"] = [max(s2 / counted, 1 / m) for s2 in found[longest][4]]
        return found

    @staticmethod
    def by_chance(blocks):
        """Ledoit and Wolf: the share of the spread of the axes' variances that is chance."""
        n, size = len(blocks), len(blocks[0])
        s = [sum(d[j] ** 2 for d in blocks) / n for j in range(size)]
        apart = sum((x - sum(s) / size) ** 2 for x in s) if size else 0
        chance = (sum(float(d @ d) ** 2 for d in blocks) / n - sum(x**2 for x in s)) / n
        return max(chance / apart, 0) if apart > chance else 1.0

    @staticmethod
    def variance(n, excess, n_ref, own, j):
        return 1 / n + excess[j] * max(1, n_ref / n) + own


def check(found, expected, trait):
    """All numbers of one window and trait."""
    got = {name: float(getattr(found, name)[0, trait]) for name in found.__slots__}
    if expected is None:
        assert math.isnan(got["pvalue"])
        return
    same = {"pvalue": "p", "omnibus": "omnibus", "effect": "effect", "square": "square", "dof": "nu", "axes": "size"}
    for ours, theirs in same.items():
        assert got[ours] == pytest.approx(expected[theirs], rel=2e-6, abs=1e-13), ours
    assert got["variance"] == pytest.approx(expected["variance"], rel=1e-8)
    assert got["least_variance"] == pytest.approx(expected["principal"]["V"].min(), rel=1e-7)
    assert got["direction"] == pytest.approx(expected["direction"], rel=1e-7, abs=1e-10, nan_ok=True)
    for name in ("location", "scale"):
        assert got[name] == pytest.approx(expected.get(name, math.nan), rel=1e-7, nan_ok=True), name


CASES = {
    "uneven rows": {"season": "none", "scale": 1},
    "uneven rows, six windows": {"season": "none", "scale": 6},
    "hour of day": {"season": "hour_of_day", "scale": 1},
    "hour of day, a whole day": {"season": "hour_of_day", "scale": 24},
    "workdays and weekends": {"season": "hour_of_day_type", "scale": 6, "days": 35},
    "gaps in time": {"season": "none", "scale": 24, "gaps": 0.2},
    "gaps in a season": {"season": "hour_of_day", "scale": 6, "gaps": 0.2},
    "held out": {"season": "hour_of_day", "scale": 6, "held_out": True},
    "held out, gaps": {"season": "none", "scale": 1, "held_out": True, "gaps": 0.2},
    "few rows": {"season": "none", "scale": 1, "low": 10, "high": 80},
    "few rows, six windows": {"season": "none", "scale": 6, "low": 10, "high": 80},
}


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_that_of_the_loop(name):
    case = CASES[name]
    scale, n_windows = case["scale"], 24 * case.get("days", 12)
    rng = np.random.default_rng(scale)
    rows = uneven(rng, n_windows, case.get("low", 150), case.get("high", 1500))
    segments = drawn(rng, SHAPES, rows, levels=noisy(rng, n_windows), missing=0.03, invalid=0.004)
    starts = starts_of(n_windows)
    kept = rng.random(n_windows) >= case.get("gaps", 0)
    segments, starts = segments[kept], starts[kept]
    held_out = np.arange(starts.size) // 24 == 3 if case.get("held_out") else None
    past = past_of(SHAPES, segments, starts_s=starts, season=case["season"], rows_min=ROWS_MIN)
    now = drawn(rng, SHAPES, uneven(rng, scale), levels=noisy(rng, scale, 0.3), missing=0.05, invalid=0.01)
    hours = hours_of(starts_of(scale, HOUR_S, 1000))

    found = Calibration(past, held_out).window(
        past.traits.groups(now), past.strata(hours), lambda fit: fit.variability[scale]
    )

    assert past.season == case["season"]
    assert past.traits.kind.size == 3 * len(SHAPES)
    for trait in range(past.traits.kind.size):
        naive = Naive(past, trait, hours_of(starts), segments, held_out=held_out)
        check(found, naive.judged(now, hours, scale), trait)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 997), (1,) * 30, (5, 900, 20, 75), tuple(range(1, 21))])
def test_components_are_orthonormal_and_rise_to_the_right(sizes):
    shares = np.array(sizes) / sum(sizes)

    phi = orthonormal(shares)

    whole = np.column_stack([np.ones(shares.size), phi])
    assert np.abs((whole.T * shares) @ whole - np.eye(shares.size)).max() < 1e-12
    assert (np.diff(phi[:, 0]) > 0).all()
    assert phi[:, :3] == pytest.approx(naive_polynomials(shares)[:, :3], rel=1e-7, abs=1e-9)


def test_the_first_component_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(0)
    counts, now = rng.integers(5, 60, 8), rng.integers(5, 60, 8)
    reference, window = np.repeat(np.arange(8), counts), np.repeat(np.arange(8), now)
    shares, n, m = counts / counts.sum(), now.sum(), counts.sum()

    difference = (now / n - shares) @ orthonormal(shares)[:, 0]

    u = stats.mannwhitneyu(window, reference).statistic
    middle = np.cumsum(shares) - shares / 2
    assert difference == pytest.approx((u / (n * m) - 0.5) / math.sqrt(shares @ (middle - 0.5) ** 2), rel=1e-10)


def test_squares_of_components_add_up_to_pearsons_distance():
    rng = np.random.default_rng(1)
    segments = drawn(rng, SHAPES, uneven(rng, 300, 3000, 9000), levels=noisy(rng, 300), missing=0.03)
    past = past_of(SHAPES, segments, season="hour_of_day")
    now = drawn(rng, SHAPES, np.array([5000]), levels=noisy(rng, 1, 0.5))
    groups, rows = past.traits.groups(now), past.traits.rows(past.traits.groups(now))[0]

    for basis, some in enumerate(past.bases):
        fit = past.fit(basis)
        own, starts = groups[:, some.groups], fit.traits.starts
        difference = fit.directions(own)[0] / np.repeat(rows[some.traits], fit.axes.turn.sizes)
        means = past.history(basis).expectation().means
        for place, size in enumerate(fit.axes.sizes.tolist()):
            if size != fit.traits.sizes[place] - 1:
                continue  # merged: its groups are not those of the trait
            end = starts[place] + fit.traits.sizes[place]
            shares = fit.traits.shares[starts[place] : end]
            component = slice(int(fit.axes.sizes[:place].sum()), int(fit.axes.sizes[: place + 1].sum()))
            first = int(fit.axes.turn.starts[place])
            expected = shares * (1 + orthonormal(shares) @ means[7, component])
            d = difference[first : first + size] - fit.expectation.means[7, first : first + size]
            seen = own[0, starts[place] : end] / rows[some.traits[place]]
            assert (d**2).sum() == pytest.approx(((seen - expected) ** 2 / shares).sum(), rel=1e-12, abs=1e-12)


def test_bases_are_shared_by_traits_that_merge_alike():
    rng = np.random.default_rng(2)
    past = past_of(SHAPES, drawn(rng, SHAPES, uneven(rng, 60)))

    bases, which = bases_of(past.traits)

    for trait in range(past.traits.sizes.size):
        for at, level in enumerate(LEVELS):
            naive = Naive(past, trait, np.zeros(60, dtype=np.int64), past_segments(past))
            some = bases[which[trait, at]]
            place = int(np.flatnonzero(some.traits == trait)[0])
            assert some.components.sizes[place] == len(naive.merged(level)) - 1


def past_segments(past):
    """Back from groups to segments, for `Naive`."""
    traits = past.traits
    segments = np.zeros((past.groups.shape[0], sum(size + 2 for _, size in SHAPES)), dtype=np.int64)
    segments[:, traits.segments] = past.groups[:, : traits.segments.size]
    for kind in (1, 2):
        some = np.flatnonzero(traits.kind == kind)
        places = traits.missing_segments[traits.column[some]] + kind - 1
        segments[:, places] = past.groups[:, traits.starts[some] + 1]
    return segments


def test_normal_of_student_keeps_the_tail_probability():
    t = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, -3.0])
    for dof in (5.0, 30.0, 500.0):
        z = normal_of_student(t, np.full(t.size, dof))

        assert np.array_equal(np.sign(z), np.sign(t))
        assert stats.norm.logsf(np.abs(z)) == pytest.approx(stats.t.logsf(np.abs(t), dof), rel=0.02)


def test_normal_of_student_is_finite_for_any_t():
    z = normal_of_student(np.array([1e150, -1e150]), np.array([3.0, 700.0]))

    assert np.isfinite(z).all()
    assert z[0] > 0 > z[1]


def test_student_of_normal_is_the_way_back():
    t, dof = np.array([0.0, 0.3, 2.0, 40.0, 1e8]), np.array([1.0, 3.0, 30.0, 500.0, 700.0])

    assert student_of_normal(normal_of_student(t, dof), dof) == pytest.approx(t, rel=1e-9)
    assert np.isinf(student_of_normal(np.array([60.0]), np.array([1.0])))


def test_cauchy_is_that_of_the_tangents_and_keeps_its_digits():
    rng = np.random.default_rng(3)
    pvalues = rng.random((3, 500)) ** rng.choice([1, 5, 10], 500)
    pvalues[1, ::7] = np.nan
    pvalues[:, 11] = np.nan

    found = cauchy(pvalues)

    mean = np.nanmean(
        np.where(np.isnan(pvalues), np.nan, np.tan((0.5 - pvalues) * math.pi))[:, ~np.isnan(found)], axis=0
    )
    assert found[~np.isnan(found)] == pytest.approx(stats.cauchy.sf(mean), rel=1e-6)
    assert np.flatnonzero(np.isnan(found)).tolist() == [11]
    assert cauchy(np.array([1e-200, 0.5, 0.5])) == pytest.approx(3e-200, rel=1e-9)
    assert cauchy(np.array([0.0, 0.3])) == pytest.approx(2e-300, rel=1e-9)
    assert cauchy(np.array([1.0, 1.0])) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("season", SEASONS)
def test_strata_are_those_of_the_clock(season):
    hours = np.arange(168)
    weekend = (4, 5)
    expected = {
        "none": lambda day, hour: 0,
        "day_type": lambda day, hour: day in weekend,
        "day_of_week": lambda day, hour: day,
        "hour_of_day": lambda day, hour: hour,
        "hour_of_day_type": lambda day, hour: hour + 24 * (day in weekend),
        "hour_of_week": lambda day, hour: 24 * day + hour,
    }[season]

    assert strata(season, hours, weekend).tolist() == [int(expected(h // 24, h % 24)) for h in range(168)]
    assert np.unique(strata(season, hours, weekend)).size == STRATA[season]


def test_repeats_are_those_of_the_hour_or_of_the_day():
    day = np.arange(24)
    uneven = np.concatenate([np.tile(day, 5), *[day[:12]] * 5])

    assert repeats("hour_of_day", np.tile(day, 9), 3600) == pytest.approx(9)
    assert repeats("hour_of_day", np.repeat(np.tile(day, 9), 12), 300) == pytest.approx(9)
    assert repeats("hour_of_day", uneven, 3600) == pytest.approx(2 / (1 / 10 + 1 / 5))
    assert repeats("day_of_week", np.tile(np.arange(7), 6), 86_400) == pytest.approx(6)
    assert repeats("day_of_week", np.repeat(np.tile(np.arange(7), 6), 24), 3600) == pytest.approx(6)
    assert repeats("hour_of_day", np.tile(day, 3), 3600) == 0
    assert repeats("day_of_week", np.repeat(np.tile(np.arange(7), 3), 24), 3600) == 0
