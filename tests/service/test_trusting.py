"""How far a rate is to be trusted, for those who ask while a reference is still being replayed."""

import asyncio
import threading
from types import SimpleNamespace

import pytest
from serving import REFERENCE_TYPE, reference_file, served

from service.calibration.calibrated import Trust
from service.evaluation.trusting import Trusts

LIVE = SimpleNamespace(id="r")


class SlowEvaluators:
    """Evaluators whose answer is held back; they count how often they are asked."""

    def __init__(self, error=None):
        self.release, self.asked, self.error = threading.Event(), 0, error
        self.found = None

    def key(self, model, live):
        return model, live.id

    def known_trust(self, _model, _live):
        return self.found

    def trust(self, _model, _live):
        self.asked += 1
        assert self.release.wait(10)
        if self.error is not None:
            raise self.error
        self.found = Trust(status="verified", windows=60)
        return self.found


def test_who_has_no_patience_is_answered_at_once_and_the_work_goes_on_once():
    evaluators = SlowEvaluators()

    async def scenario():
        trusts = Trusts(evaluators)
        first = await asyncio.gather(*(trusts.trust("m", LIVE, patience_s=0.01) for _ in range(5)))
        evaluators.release.set()
        return first, await trusts.trust("m", LIVE, patience_s=10), trusts.known("m", LIVE)

    first, waited, known = asyncio.run(scenario())

    assert first == [None] * 5
    assert waited == known
    assert waited.status == "verified"
    assert evaluators.asked == 1


def test_what_goes_wrong_is_said_to_who_waits_and_tried_again():
    evaluators = SlowEvaluators(error=ValueError("broken"))
    evaluators.release.set()

    async def scenario():
        trusts = Trusts(evaluators)
        for _ in range(2):
            with pytest.raises(ValueError, match="broken"):
                await trusts.trust("m", LIVE, patience_s=10)

    asyncio.run(scenario())

    assert evaluators.asked == 2


def test_lists_say_only_what_is_known_and_one_model_says_all(tmp_path):
    async def scenario(api):
        await api.model()
        listed = (await api.client.get("/v1/models")).json()["models"]
        one = (await api.client.get("/v1/models/m")).json()
        return listed, one, (await api.client.get("/v1/models")).json()["models"]

    before, one, after = served(tmp_path, scenario)

    assert before[0]["versions"][0]["calibration"] is None
    (version,) = one["versions"]
    assert version["calibration"]["status"] == "iid"
    assert "time column" in version["calibration"]["advice"]
    assert version["candidate"] is None  # it was not learned: somebody chose its rows
    assert after == [one]


def test_a_reference_says_how_far_it_is_to_be_trusted(tmp_path):
    async def scenario(api):
        headers = {"content-type": REFERENCE_TYPE}
        kept = await api.client.post("/v1/models/m/references", content=reference_file(), headers=headers)
        data = b"t,x\n" + b"".join(
            b"2026-01-%02dT%02d:00:00Z,%d\n" % (1 + n // 720, n // 30 % 24, n * 7919 % 100) for n in range(7200)
        )
        built = await api.client.post(
            "/v1/models/n/references", content=data, headers={"content-type": "text/csv"}, params={"time_column": "t"}
        )
        return kept.json(), built.json(), (await api.client.get(built.headers["location"])).json()

    kept, built, found = served(tmp_path, scenario)

    assert kept["summary"]["calibration"]["status"] == "iid"
    said = built["summary"]["calibration"]
    assert said["status"] in {"calibrated", "verified"}
    assert (said["windows"], said["replayed_days"], said["budget_per_30d"]) == (240, 10.0, 1.0)
    assert found["summary"]["calibration"] == said
