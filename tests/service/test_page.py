"""The page in a real browser, on the real service with real data."""

import json
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from browser import Browser, chromium
from serving import JSON, REFERENCE_TYPE, Process, encoded, key_setting, reference_file, wait_until
from watched import CATEGORICAL, DAY_S, HOSTILE, KEPT, Receiver, evaluated, watch_bikes, watch_hostile

from service.demo.weeks import columns_declared

SHAPES = {360: 800, 1600: 1000}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A service that anybody on this machine may ask, with four models, and a receiver of its notices."""
    chromium()
    declared = columns_declared()
    models = {
        "bikes": declared
        | {"base_window": "7d", "pane": "15m", "retention": "36525d", "scales": [1], "notify": ["pager"]},
        "hostile": {**KEPT, "scales": [1, 2], "default_version": "1", "views": [{"rows": 300}]},
        "learner": {**KEPT, "learning": {"rows": 500}},
        "unused": KEPT,
    }
    folder = tmp_path_factory.mktemp("site")
    with Receiver() as receiver, Process(folder, models=models, targets={"pager": receiver.target}) as process:
        watch_bikes(process)
        watch_hostile(process)
        evaluated(process, "bikes", "2012-12-31T05:00:00Z")
        process.send([{"at": DAY_S + i, "x": i} for i in range(120)], model="learner")
        process.receiver = receiver
        process.url = f"http://127.0.0.1:{process.port}/"
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def tab(browser):
    """A tab in which nothing may go wrong."""
    tab = browser.tab()
    yield tab
    assert tab.read_faults() == []


def asked(site, path, **query):
    answer = site.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def opened(tab, site, query="", until="[data-model], [data-column], [data-state]"):
    tab.open(site.url + query)
    tab.until(f"document.querySelector({json.dumps(until)})")


def states(tab, selector, field):
    """Which element says which state."""
    script = (
        f"[...document.querySelectorAll({json.dumps(selector)})].map(one => [one.dataset.{field}, one.dataset.state])"
    )
    return dict(tab.run(script))


def read_again(tab):
    """Have it read now what it reads every few seconds."""
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")


# --- what it says ---------------------------------------------------------------------------------------------------


def test_the_overview_says_of_every_model_what_the_api_says(tab, site):
    opened(tab, site, until="[data-model]")

    latest = {
        model: asked(site, f"/v1/models/{model}/evaluations", limit=100)["evaluations"]
        for model in ("bikes", "hostile")
    }
    closed = {model: [one for one in all_ if one["scale"] and not one["provisional"]] for model, all_ in latest.items()}
    ends = {model: max(one["window"]["end"] for one in all_) for model, all_ in closed.items()}
    said = {
        model: {one["verdict"] for one in all_ if one["window"]["end"] == ends[model]} for model, all_ in closed.items()
    }
    expected = {
        model: next(verdict for verdict in ("drifted", "stable", "undecided") if verdict in said[model])
        for model in said
    }
    assert states(tab, "[data-model]", "model") == expected | {"learner": "learning", "unused": "learning"}
    text = tab.text("[data-model=bikes]")
    (episode,) = asked(site, "/v1/episodes", model="bikes", open="true")["episodes"]
    opened_at = datetime.fromisoformat(episode["opened_at"]).astimezone(ZoneInfo("America/New_York"))
    assert f"firing since {opened_at:%Y-%m-%d} 00:00" in text  # by the wall clock of the model's time zone
    assert "24 in the open window provisional" in text
    assert "120 of 500 rows" in tab.text("[data-model=learner]")
    assert "no row yet" in tab.text("[data-model=unused]")
    drifted = list(expected.values()).count("drifted")
    firing = len(asked(site, "/v1/episodes", open="true")["episodes"])
    assert tab.run("document.title") == f"\u25b2 {firing} alerts firing, {drifted} drifted \u00b7 Driftline"


def test_a_model_shows_every_verdict_and_number_of_its_window(tab, site):
    opened(tab, site, "?model=bikes&version=2011", until="[data-column]")

    evaluations = asked(site, "/v1/models/bikes/evaluations")["evaluations"]
    evaluation = next(one for one in evaluations if not one["provisional"])
    columns = evaluation["columns"]
    assert tab.run("document.querySelector('[data-window-end]').dataset.windowEnd") == evaluation["window"]["end"]
    assert states(tab, "[data-column]", "column") == {name: column["verdict"] for name, column in columns.items()}
    shown = tab.run(
        "Object.fromEntries([...document.querySelectorAll('[data-column]')].map(row => [row.dataset.column,"
        "[...row.querySelectorAll('td.number')].map(cell => cell.innerText)]))"
    )
    for name, (psi, ks, _pvalue, effect, missing) in shown.items():
        statistics = columns[name]["statistics"]
        assert float(psi) == pytest.approx(statistics["psi"], rel=0.06)  # two digits where it is below a thousandth
        assert (ks == "\u2013") == (statistics["ks"] is None)
        expected = columns[name]["effect"]
        assert effect == "\u2013" if expected is None else float(effect) == pytest.approx(expected, rel=0.06)
        assert missing == "0\u00a0%"
    order = list(shown)
    ranks = [("drifted", "undecided", "stable").index(columns[name]["verdict"]) for name in order]
    assert ranks == sorted(ranks)
    drifted = [columns[name]["pvalue"] for name in order if columns[name]["verdict"] == "drifted"]
    assert drifted == sorted(drifted)
    assert "Tests were calibrated to how much windows of the reference differ" in tab.text("[data-state]")
    marks = "[...document.querySelectorAll('[data-calibration]')].map(one => one.dataset.calibration)"
    assert set(tab.run(marks)) == {evaluation["calibration"]}
    (version,) = asked(site, "/v1/models/bikes")["versions"]
    assert f"To make it better: {version['calibration']['advice']}." in tab.text("[data-state]")
    assert f"to make it better: {evaluation['calibration_advice']}." in tab.text("[data-window-end]")
    assert tab.run("document.title") == "\u25b2 bikes 2011: drifted, alert firing \u00b7 Driftline"


def test_the_strip_has_every_window_and_opens_any_of_them(tab, site):
    opened(tab, site, "?model=bikes", until="[data-column]")

    strip = tab.run(
        "[...document.querySelectorAll('button.cell')].map(cell => [cell.dataset.at, cell.dataset.verdict])"
    )
    evaluations = asked(site, "/v1/models/bikes/evaluations", limit=60, window="7d")["evaluations"][::-1]
    assert strip == [["open" if one["provisional"] else one["window"]["end"], one["verdict"]] for one in evaluations]
    assert len(strip) == 54

    first = evaluations[0]
    tab.click("button.cell:first-child")
    tab.until(f"document.querySelector('[data-window-end=\"{first['window']['end']}\"]')")
    assert states(tab, "[data-column]", "column") == dict.fromkeys(first["columns"], "undecided")
    assert "too few rows" in tab.text("[data-column=hour]")
    tab.press("ArrowRight")
    tab.until(f"document.querySelector('[data-window-end=\"{evaluations[1]['window']['end']}\"]')")
    assert tab.run("document.activeElement.dataset.at") == evaluations[1]["window"]["end"]
    tab.click("button.cell.open")
    tab.until("document.querySelector('[data-window-end] .provisional')")


def test_silence_is_neither_stable_nor_drifted(tab, site):
    opened(tab, site, "?model=hostile", until="button.cell.silent")

    tab.click("button.cell.silent")

    tab.until("document.querySelector('[data-window-end=\"2026-01-05T04:00:00Z\"]')")
    assert "undecided (silent)" in tab.text("[data-window-end]")
    assert "silence is reported, not taken for stability" in tab.text("[data-window-end]")
    windows = asked(site, "/v1/models/hostile/evaluations", window="1h")["evaluations"]
    kinds = [
        one["reason"] if one["reason"] == "silent" else one["verdict"] for one in windows if not one["provisional"]
    ]
    said = [f"{kinds.count(kind)} {kind}" for kind in ("drifted", "stable", "undecided", "silent") if kind in kinds]
    assert f"5 windows: {', '.join(said)}" in tab.text("main")


def test_views_and_scales_have_strips_of_their_own(tab, site):
    opened(tab, site, "?model=hostile", until="[data-column]")

    assert tab.run("[...document.querySelectorAll('p.tabs a')].map(one => one.innerText)") == ["1h", "2h", "300rows"]
    tab.click("p.tabs a:last-child")
    tab.until("document.querySelector('p.tabs a:last-child[aria-current]')")
    tab.until("document.querySelector('[data-column]')")

    evaluations = asked(site, "/v1/models/hostile/evaluations", window="300rows")["evaluations"]
    newest = next(one for one in evaluations if not one["provisional"])
    assert states(tab, "[data-column]", "column") == {name: one["verdict"] for name, one in newest["columns"].items()}


def test_a_column_shows_its_distribution(tab, site):
    opened(tab, site, "?model=bikes", until="[data-column=temp]")

    tab.click("[data-open=temp]")
    tab.until("document.querySelector('[data-distribution=temp]')")

    window = asked(site, "/v1/models/bikes/evaluations", window="7d")["evaluations"][1]["window"]
    span = {"since": window["start"], "until": window["end"]}
    groups = asked(site, "/v1/models/bikes/columns/temp", **span)["groups"]
    rows = tab.run(
        "[...document.querySelectorAll('.distribution tbody tr')].map(row => ["
        "row.querySelector('th').innerText, row.querySelector('td.current').innerText,"
        "row.querySelector('rect.current')?.getBoundingClientRect().width ?? 0])"
    )
    assert [label for label, _, _ in rows] == [group["group"] for group in groups]
    largest = max(group["current"] for group in groups)
    widest = max(width for _, _, width in rows)
    for (_, text, width), group in zip(rows, groups, strict=True):
        assert float(text.removesuffix("\u00a0%")) == pytest.approx(100 * group["current"], abs=0.051)
        assert width / widest == pytest.approx(group["current"] / largest, abs=0.02)
    assert tab.run("document.querySelector('[data-open=temp]').ariaExpanded") == "true"
    assert "column=temp" in tab.run("location.search")


def test_no_distribution_of_a_few_rows_is_shown(tab, site):
    query = {"model": "hostile", "at": "2026-01-05T03:00:00Z", "column": CATEGORICAL}
    opened(tab, site, "?" + urlencode(query), until="[data-distribution]")

    assert "counts of fewer than 10 rows" in tab.text("[data-distribution]")
    assert tab.run("document.querySelectorAll('rect.current').length") == 0
    assert tab.run("document.querySelectorAll('rect.reference').length") > 0
    moved = tab.run("[...document.querySelectorAll('[data-column] td.moved')].map(cell => cell.innerText)")
    assert set(moved) == {"too few rows to be shown"}


def test_hostile_names_are_text(tab, site):
    opened(tab, site, "?model=hostile&at=2026-01-05T02:00:00Z", until="[data-column]")
    tab.until("document.querySelector('[data-window-end=\"2026-01-05T02:00:00Z\"]')")

    names = tab.run(
        "[...document.querySelectorAll('[data-column]')].map(row => [row.dataset.column, row.querySelector('.name').textContent])"
    )
    assert sorted(name for name, _ in names) == sorted(HOSTILE)
    hidden = {"\u202egnp.exe": "\\u{202e}gnp.exe", "  ": '"  "'}
    assert all(shown == hidden.get(name, name) for name, shown in names)

    for name in HOSTILE:
        tab.run(f'document.querySelector(`[data-open="${{CSS.escape({json.dumps(name)})}}"]`).click()')
        tab.until(f"document.querySelector('tr.chosen')?.dataset.column === {json.dumps(name)}")
        tab.until("!document.querySelector('tr.below').innerText.includes('Loading')")
        if name == "..":
            assert "no address can hold this name" in tab.text("tr.below")
        else:
            assert tab.run("document.querySelector('[data-distribution]').dataset.distribution") == name
    assert tab.run("document.title") == "\u25b2 hostile 1: stable, alert firing \u00b7 Driftline"
    assert tab.run("document.querySelectorAll('main script, main img, main b > *').length") == 0

    tab.run(f'document.querySelector(`[data-open="${{CSS.escape({json.dumps(CATEGORICAL)})}}"]`).click()')
    tab.until(f"document.querySelector('[data-distribution]')?.dataset.distribution === {json.dumps(CATEGORICAL)}")
    labels = tab.run("[...document.querySelectorAll('.distribution tbody th')].map(cell => cell.textContent)")
    assert {"<script>alert(2)</script>", "<b>bold</b>", "\\u{202e}right to left"} < set(labels)


def test_the_browser_would_refuse_markup_made_of_strings(browser, site):
    tab = browser.tab()
    opened(tab, site)

    refused = tab.run("(() => { try { document.body.innerHTML = '<i>x</i>'; return false } catch { return true } })()")

    assert refused
    assert any("TrustedHTML" in str(fault) for fault in tab.read_faults())


# --- how it is used -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", SHAPES)
@pytest.mark.parametrize(
    "query", ["", "?model=bikes&column=temp", "?model=hostile&at=2026-01-05T02:00:00Z", "?model=learner"]
)
def test_it_fits_the_screen(browser, site, width, query):
    tab = browser.tab(width=width, height=SHAPES[width], dark=width == 360)
    opened(tab, site, query)
    tab.until("!document.querySelector('main').innerText.includes('Loading')")

    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    beyond = (
        "[...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth).length"
    )
    assert tab.run(beyond) == 0
    assert tab.read_faults() == []


def test_everything_is_reached_by_keyboard(tab, site):
    opened(tab, site, until="[data-model]")

    reached = walk(tab, "document.activeElement.closest('[data-model=bikes]') !== null")
    assert "To the content" in reached[0]
    tab.press("Enter")
    tab.until("document.querySelector('[data-column]')")
    walk(tab, "document.activeElement.matches('button.cell')")
    walk(tab, "document.activeElement.dataset.sort === 'ks'")
    tab.press("Enter")
    tab.until(
        "document.querySelector('[data-column]').dataset.column === 'humidity' || document.querySelector('[data-sort=ks]').ariaPressed === 'true'"
    )
    walk(tab, "document.activeElement.dataset.open === 'temp'")
    tab.press("Enter")
    tab.until("document.querySelector('[data-distribution=temp]')")


def walk(tab, until):
    """Press Tab until something is true; what was passed."""
    passed = []
    for _ in range(80):
        tab.press("Tab")
        passed.append(tab.run("document.activeElement.innerText ?? ''"))
        if tab.run(until):
            return passed
    raise AssertionError(passed)


def test_back_and_forward_go_where_one_was(tab, site):
    opened(tab, site, until="[data-model]")
    tab.click("[data-model=bikes] a")
    tab.until("document.querySelector('[data-column]')")

    tab.run("history.back()")
    tab.until("document.querySelector('[data-model]')")
    assert tab.run("location.search") == ""
    tab.run("history.forward()")
    tab.until("document.querySelector('[data-column]')")
    assert tab.run("location.search") == "?model=bikes&version=2011"


def test_a_refresh_keeps_elements_focus_and_what_was_opened(tab, site):
    opened(tab, site, "?model=bikes&column=temp", until="[data-distribution]")
    tab.run("document.querySelector('summary').click()")
    tab.run("document.querySelector('[data-open=temp]').focus()")
    tab.run("window.kept = [...document.querySelectorAll('main *')]; window.title = document.title")
    tab.run("window.calls = performance.getEntriesByType('resource').length")

    read_again(tab)
    tab.until("performance.getEntriesByType('resource').length >= window.calls + 8")
    tab.until("document.querySelector('.fresh').innerText.includes('Read 0')")

    assert tab.run("window.kept.filter(one => !one.isConnected).length") == 0
    assert tab.run("document.activeElement.dataset.open") == "temp"
    assert tab.run("document.querySelector('details').open")


def test_it_says_when_the_service_cannot_be_reached_and_when_it_can_again(browser, site):
    tab = browser.tab()
    opened(tab, site, until="[data-model]")

    tab.offline(offline=True)
    read_again(tab)
    tab.until("document.querySelector('.note.bad')")
    assert "The service cannot be reached" in tab.text("#notes")
    assert "What is shown below was read" in tab.text("#notes")
    assert tab.run("document.title").startswith("\u26a0 unreachable")
    assert tab.run("document.querySelector('[data-fresh]').dataset.fresh") == "stale"
    assert states(tab, "[data-model]", "model")["bikes"] == "drifted"

    tab.offline(offline=False)
    read_again(tab)
    tab.until("!document.querySelector('.note.bad')")
    assert tab.run("document.querySelector('[data-fresh]').dataset.fresh") == "fresh"


def test_what_is_not_there_is_said(browser, site):
    tab = browser.tab()
    tab.open(site.url + "?model=nobody")
    tab.until("document.querySelector('[data-status=\"404\"]')")
    assert "no such model" in tab.text("main")
    assert tab.run("document.title") == "not found \u00b7 Driftline"


def test_a_dead_letter_can_be_sent_again(tab, site):
    opened(tab, site, "?model=bikes", until="[data-episode] [data-delivery]")
    wait_until(lambda: asked(site, "/v1/deliveries", state="dead")["deliveries"], 30)
    read_again(tab)
    tab.until("document.querySelector('[data-delivery][data-state=dead]')")
    assert "dead letter" in tab.text("[data-episode]")
    assert "500" in tab.text("[data-delivery]")

    site.receiver.status = 204
    tab.click("[data-retry]")
    tab.until("document.querySelector('#notes').innerText.includes('will be sent again')")
    wait_until(lambda: not asked(site, "/v1/deliveries", state="dead")["deliveries"], 30)
    read_again(tab)

    tab.until("document.querySelector('[data-delivery][data-state=delivered]')")


def test_what_pipelines_report_stands_with_the_episode(tab, site):
    (episode,) = asked(site, "/v1/episodes", model="bikes", open="true")["episodes"]
    for state, link in [("started", "https://ci.example/7"), ("failed", None), ("started", "https://ci.example/8")]:
        answer = site.client.post(f"/v1/episodes/{episode['id']}/outcome", json={"state": state, "link": link})
        assert answer.status_code == 200, answer.text

    opened(tab, site, "?model=bikes", until="[data-episode]")

    shown = f"[data-episode='{episode['id']}']"
    text = tab.text(shown)
    assert text.index("started, ") < text.index("; failed, ") < text.index("; started, ")
    assert tab.run(f'[...document.querySelectorAll("{shown} a[target=_blank]")].map(link => link.href)') == [
        "https://ci.example/7",
        "https://ci.example/7",
        "https://ci.example/8",
    ]


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_site(tmp_path_factory):
    """A service that wants keys."""
    chromium()
    keys = [
        key_setting("boss", "dk_boss", ["admin", "read", "ingest"]),
        key_setting("reader", "dk_reader", ["read"]),
        key_setting("bound", "dk_bound", ["read"], ["hostile"]),
        key_setting("sender", "dk_sender", ["ingest"]),
    ]
    with Process(tmp_path_factory.mktemp("closed"), models={"hostile": KEPT}, auth={"keys": keys}) as process:
        watch_hostile(process, {"authorization": "Bearer dk_boss"})
        process.url = f"http://127.0.0.1:{process.port}/"
        yield process


def give_key(tab, value, until):
    tab.until("document.activeElement?.id === 'key'")
    tab.type(value)
    tab.press("Enter")
    tab.until(until)


def test_the_page_asks_for_a_key_and_keeps_it_in_the_tab_only(tab, browser, closed_site):
    tab.open(closed_site.url)
    tab.until("document.title.startsWith('key needed')")
    give_key(tab, "dk_wrong", "document.querySelector('h1').innerText === 'This key is not known'")
    give_key(tab, "no k\u00e9y", "document.querySelector('h1').innerText === 'This key is not known'")

    give_key(tab, "dk_reader", "document.querySelector('[data-model=hostile]')")
    assert tab.run("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    assert "dk_reader" not in tab.run("document.documentElement.outerHTML + location.href")

    tab.open(closed_site.url + "?model=hostile")
    tab.until("document.querySelector('[data-column]')")
    tab.click("[data-forget]")
    tab.until("document.querySelector('#key')")
    assert tab.run("sessionStorage.length") == 0
    other = browser.tab()
    other.open(closed_site.url)
    other.until("document.querySelector('#key')")


def test_a_key_of_one_model_opens_that_one(tab, closed_site):
    tab.open(closed_site.url)
    give_key(tab, "dk_bound", "document.querySelector('[data-status=\"403\"]')")
    assert tab.run("document.title").startswith("not allowed")

    tab.run("document.querySelector('#model').focus()")
    tab.type("hostile")
    tab.press("Enter")

    tab.until("document.querySelector('[data-column]')")


def test_a_key_that_may_only_send_rows_reads_nothing(tab, closed_site):
    tab.open(closed_site.url)
    give_key(tab, "dk_sender", "document.querySelector('[data-status=\"403\"]')")
    assert "read" in tab.text("main")


def test_a_version_shows_how_its_reference_compares_with_the_one_before(tab, closed_site):
    boss = {"authorization": "Bearer dk_boss"}
    body = encoded({"temp": 0.5, "hour": 3, "weather": "mist", "prediction": 3})
    for seed in (0, 1):
        content = reference_file("switched", seed=seed, rows=400 + seed)
        answer = closed_site.client.post(
            "/v1/models/switched/references",
            content=content,
            headers=boss | {"content-type": REFERENCE_TYPE},
            params={"activate": "true"},
        )
        assert answer.status_code == 201, answer.text
        closed_site.client.post("/v1/models/switched/inferences", content=body, headers=boss | JSON)
    columns = answer.json()["comparison"]["columns"]

    tab.open(closed_site.url + "?model=switched")
    give_key(tab, "dk_reader", "document.querySelector('details.comparison')")
    tab.click("details.comparison summary")

    assert "400 rows before, 401 now" in tab.text("details.comparison")
    shown = "[...document.querySelectorAll('[data-compared]')].map(row => row.dataset.compared)"
    assert tab.run(shown) == [column["name"] for column in columns]
