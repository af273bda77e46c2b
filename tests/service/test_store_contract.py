"""The contract of stores, over every kind: opening and closing, models, references, leases."""

import pytest
from stores import (
    EVER_US,
    WINDOW_US,
    commit,
    delta,
    episode,
    evaluated,
    evaluation,
    made,
    mark,
    notice,
    on_every_store,
    reference,
    series,
    step,
    total_of,
    turn,
)

from service.errors import StoreUnavailableError
from service.ports import Activation, AlertChange, Keeping, ModelRow


def activation(reference_id="r", *, version="1", from_us=None):
    return Activation(version=version, reference_id=reference_id, from_us=from_us, at_us=9)


# --- opening and closing


@on_every_store
async def test_time_is_the_clocks(place):
    assert await place.store.now_us() == place.clock.us


@on_every_store
async def test_a_store_that_can_be_written_to_passes_its_check(place):
    for _ in range(3):
        await place.store.check()
        place.clock.us += 600_000


@on_every_store
async def test_a_closed_store_says_so_and_may_be_closed_again(place):
    await place.store.close()
    await place.store.close()

    for call in (place.store.check(), place.store.models(), place.store.commit([])):
        with pytest.raises(StoreUnavailableError, match="closed"):
            await call


@on_every_store
async def test_what_was_written_is_there_for_another_store_and_after_closing(place):
    epoch = await made(place.store)
    other = await place.another()
    await place.store.commit([commit(epoch, delta(0, (1, 2, 3)))])
    await place.store.close()

    assert await total_of(other) == [1, 2, 3]


@on_every_store
async def test_a_backup_is_a_store_of_that_moment(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(0, (1, 2, 3)), marks=[mark()])])
    await place.store.record(step(epoch, until=1, evaluations=[evaluation()], notices=[notice()]))

    await place.store.backup(place.folder / "backup")
    await place.store.commit([commit(epoch, delta(0, (1, 0, 0)))])
    copy = await place.restored(place.folder / "backup")

    assert await total_of(copy) == [1, 2, 3]
    assert await copy.marks("m", ["k"]) == [mark()]
    assert [row.end_us for row in await evaluated(copy)] == [WINDOW_US]
    assert [row.id for row in await copy.claim("ci", "me", 2 * place.clock.us, 9)] == ["n"]
    assert await copy.put_model("m", b"new", "api", epoch) > epoch
    assert await total_of(place.store) == [2, 2, 3]


@on_every_store
async def test_a_second_backup_replaces_the_first(place):
    await place.store.backup(place.folder / "backup")
    await made(place.store)

    await place.store.backup(place.folder / "backup")

    assert await (await place.restored(place.folder / "backup")).epochs() == await place.store.epochs()


# --- models


@on_every_store
async def test_a_model_is_made_once(place):
    epoch = await place.store.put_model("m", b"one", "file", None)

    assert await place.store.put_model("m", b"two", "api", None) is None
    row = ModelRow(model="m", epoch=epoch, owner="file", configuration=b"one", activations=())
    assert await place.store.model("m") == row
    assert await place.store.model("other") is None


@on_every_store
async def test_a_model_is_changed_only_by_who_knows_how_it_stands(place):
    first = await made(place.store)

    second = await place.store.put_model("m", b"two", "file", first)

    assert second > first
    assert await place.store.put_model("m", b"three", "api", first) is None
    assert await place.store.put_model("other", b"three", "api", first) is None
    row = await place.store.model("m")
    assert (row.epoch, row.owner, row.configuration) == (second, "file", b"two")


@on_every_store
async def test_models_come_by_name_and_epochs_with_them(place):
    epochs = {name: await made(place.store, name) for name in ("b", "a", "C")}

    assert [row.model for row in await place.store.models()] == ["C", "a", "b"]
    assert await place.store.epochs() == epochs


@on_every_store
async def test_epochs_never_come_back(place):
    seen = [await made(place.store)]
    seen.append(await place.store.put_model("m", b"", "api", seen[-1]))
    seen.append(await place.store.activate("m", seen[-1], activation()))
    await place.store.delete_model("m")
    seen.append(await made(place.store))
    await place.store.delete_model("m")
    seen.append(await made(place.store, "other"))

    assert seen == sorted(set(seen))


@on_every_store
async def test_numbers_that_a_backup_does_not_know_of_do_not_come_back_when_it_is_restored(place):
    epoch = await made(place.store)
    await place.store.hold(["m"], "me", 100)
    await place.store.backup(place.folder / "backup")
    place.clock.us += 100
    lost = await place.store.put_model("m", b"lost", "api", epoch)
    fence = (await place.store.hold(["m"], "paused", 100))["m"]
    place.clock.us += 100

    copy = await place.restored(place.folder / "backup")

    assert await copy.epochs() == {"m": epoch}
    assert await copy.put_model("m", b"new", "api", epoch) > lost
    assert (await copy.hold(["m"], "you", 100))["m"] > fence
    assert (await copy.commit([commit(lost, delta())]))[0].status == "stale"


@on_every_store
async def test_epochs_grow_also_while_the_clock_stands_still_or_was_set_back(place):
    first = await made(place.store)
    second = await place.store.put_model("m", b"", "api", first)
    place.clock.us -= 1_000

    third = await place.store.put_model("m", b"", "api", second)

    assert first < second < third


@on_every_store
async def test_activations_are_appended_in_order_by_who_knows_how_the_model_stands(place):
    first = await made(place.store)
    second = await place.store.activate("m", first, activation("r2"))

    third = await place.store.activate("m", second, activation("r1", version="2", from_us=4))

    assert first < second < third
    assert await place.store.activate("m", second, activation("r3")) is None
    assert await place.store.activate("other", third, activation("r3")) is None
    row = await place.store.model("m")
    assert row.activations == (activation("r2"), activation("r1", version="2", from_us=4))
    assert row == (await place.store.models())[0]
    assert row.epoch == third


@on_every_store
async def test_a_deleted_model_leaves_nothing_behind_also_when_it_is_made_again(place):
    epoch = await filled(place.store, "m")
    kept = await filled(place.store, "kept")

    assert await place.store.delete_model("m")
    assert not await place.store.delete_model("m")
    for again in (False, True):
        if again:
            assert await made(place.store) > max(epoch, kept)
        assert await total_of(place.store) == [0, 0, 0]
        assert list(await place.store.rows_by_window(series(), 0, EVER_US)) == []
        assert list(await place.store.marks("m", ["k"])) == []
        assert list(await place.store.progress("m")) == []
        assert list(await place.store.references("m")) == []
        assert [row.model for row in await evaluated(place.store, "kept")] == ["kept"]
        assert await evaluated(place.store) == []
        assert await place.store.alert("m", "1") is None
        assert await place.store.episode("m-e") is None
        assert list(await place.store.decisions("m", "1", 0, EVER_US)) == []
        assert [row.id for row in await place.store.deliveries(state=None, target=None, limit=9)] == ["kept-n"]
        await place.store.sweep([], 0, 9)
    assert (await place.store.commit([commit(epoch, delta(), turn=turn(5))]))[0].status == "stale"
    assert not await place.store.record(step(epoch, was=1, until=2))
    assert await total_of(place.store, series(model="kept")) == [1, 0, 0]


async def filled(store, model):
    """A model with one of everything."""
    epoch = await made(store, model)
    await store.put_reference(reference(model=model), b"doc")
    epoch = await store.activate(model, epoch, activation())
    await store.commit([commit(epoch, delta(), model=model, marks=[mark()], turn=turn(5))])
    await store.record(
        step(
            epoch,
            model=model,
            until=1,
            evaluations=[evaluation()],
            alert=AlertChange(version="1", revision=0, document=b""),
            episodes=[episode(f"{model}-e", model=model)],
            notices=[notice(f"{model}-n", model=model)],
            decisions=[(WINDOW_US, b"")],
        )
    )
    return epoch


# --- references


@on_every_store
async def test_a_ready_reference_has_a_document(place):
    await place.store.put_reference(reference(), b"document")

    assert await place.store.reference("m", "r") == reference()
    assert await place.store.reference_document("m", "r") == b"document"
    assert await place.store.reference("other", "r") is None
    assert await place.store.reference_document("m", "other") is None


@on_every_store
async def test_a_job_replaces_its_state_and_has_no_document(place):
    for state in ("receiving", "building", "failed"):
        await place.store.put_reference(reference("job", state=state), None)

        assert [row.state for row in await place.store.references("m")] == [state]
        assert await place.store.reference_document("m", "job") is None


@on_every_store
async def test_a_new_summary_leaves_the_document_of_a_ready_reference(place):
    await place.store.put_reference(reference(), b"document")

    await place.store.put_reference(reference(summary=b"new"), None)

    assert (await place.store.reference("m", "r")).summary == b"new"
    assert await place.store.reference_document("m", "r") == b"document"


@on_every_store
async def test_references_come_in_the_order_they_were_made(place):
    for reference_id, made_us in (("b", 2), ("c", 3), ("a", 2), ("d", 1)):
        await place.store.put_reference(reference(reference_id, created_at_us=made_us), b"")
    await place.store.put_reference(reference("b", created_at_us=2, summary=b"again"), b"")
    await place.store.put_reference(reference("x", model="other"), b"")

    assert [row.id for row in await place.store.references("m")] == ["d", "b", "a", "c"]


@on_every_store
async def test_a_reference_that_an_activation_names_is_not_dropped(place):
    await place.store.put_reference(reference(), b"")
    await place.store.activate("m", await made(place.store), activation())

    assert not await place.store.delete_reference("m", "r")
    assert await place.store.reference("m", "r") is not None


@on_every_store
async def test_a_reference_is_kept_while_a_pane_needs_it(place):
    epoch = await made(place.store)
    await place.store.put_reference(reference(), b"")
    await place.store.commit([commit(epoch, delta())])

    assert not await place.store.delete_reference("m", "r")
    await place.store.sweep([], 0, 9)
    assert not await place.store.delete_reference("m", "r")
    await place.store.sweep(
        [Keeping(model="m", version="1", base_window_us=WINDOW_US, expire_before_us=WINDOW_US)], 0, 9
    )
    assert await place.store.delete_reference("m", "r")
    assert not await place.store.delete_reference("m", "r")
    assert list(await place.store.references("m")) == []


@on_every_store
async def test_a_reference_of_another_model_needs_nothing_of_this_one(place):
    epoch = await made(place.store, "other")
    await place.store.commit([commit(epoch, delta(), model="other")])
    await place.store.put_reference(reference(), b"")

    assert await place.store.delete_reference("m", "r")


# --- replicas and roles


@on_every_store
async def test_replicas_are_there_until_they_leave_or_say_nothing_for_too_long(place):
    other = await place.another()

    assert await place.store.attend("b", 100) == ["b"]
    assert await other.attend("a", 50) == ["a", "b"]
    place.clock.us += 49
    assert await place.store.attend("b", 100) == ["a", "b"]
    place.clock.us += 1
    assert await place.store.attend("b", 100) == ["b"]
    assert await other.attend("a", 50) == ["a", "b"]
    await place.store.leave("b")
    await place.store.leave("nobody")
    assert await other.attend("a", 50) == ["a"]


@on_every_store
async def test_a_role_is_one_owners_until_it_runs_out(place):
    other = await place.another()
    for model in ("m", "n"):
        await made(place.store, model)

    fences = await place.store.hold(["m"], "me", 100)
    assert fences.keys() == {"m"}
    assert (await other.hold(["m", "n"], "you", 100)).keys() == {"n"}
    place.clock.us += 99
    assert await other.hold(["m"], "you", 100) == {}
    place.clock.us += 1
    assert (await other.hold(["m"], "you", 100))["m"] > fences["m"]
    assert await place.store.hold(["m"], "me", 100) == {}


@on_every_store
async def test_a_role_that_is_renewed_in_time_keeps_its_fence_and_one_that_had_run_out_does_not(place):
    await made(place.store)
    fences = await place.store.hold(["m"], "me", 100)
    for _ in range(3):
        assert await place.store.hold(["m"], "me", 100) == fences
        place.clock.us += 60
    assert await place.store.hold(["m"], "you", 100) == {}

    place.clock.us += 40

    assert (await place.store.hold(["m"], "me", 100))["m"] > fences["m"]


@on_every_store
async def test_a_role_is_given_back_by_its_owner_only(place):
    await made(place.store)
    fences = await place.store.hold(["m"], "me", 100)

    await place.store.release(["m", "nothing"], "you")
    assert await place.store.hold(["m"], "you", 100) == {}
    await place.store.release(["m", "nothing"], "me")
    assert (await place.store.hold(["m"], "you", 100))["m"] > fences["m"]


@on_every_store
async def test_a_model_that_is_not_there_has_no_role(place):
    await made(place.store)
    await place.store.hold(["m"], "me", 100)
    await place.store.delete_model("m")

    assert await place.store.hold(["m"], "me", 100) == {}
    await made(place.store)
    assert await place.store.hold(["m"], "you", 100) != {}


@on_every_store
async def test_housekeeping_leaves_roles_that_hold_and_the_fences_of_those_that_do_not(place):
    for model in ("old", "held"):
        await made(place.store, model)
    fences = await place.store.hold(["old"], "me", 10)
    await place.store.hold(["held"], "me", 100)
    place.clock.us += 50

    await place.store.sweep([], 0, 9)

    found = await place.store.hold(["old", "held"], "you", 10)
    assert found.keys() == {"old"}
    assert found["old"] > fences["old"]
