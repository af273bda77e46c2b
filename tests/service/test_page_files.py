"""The files that the page is made of, and how they are given out."""

import re
from importlib.resources import files

import pytest
from hatchling.builders.wheel import WheelBuilder
from serving import key_setting, served

FOLDER = files("service.page")
PARTS = sorted(one.name for one in FOLDER.iterdir() if one.name.endswith((".js", ".css", ".svg")))


def test_the_page_is_kept_by_browsers_and_asked_for_each_time(tmp_path):
    async def scenario(api):
        answers = {}
        for path in ("/", *(f"/page/{name}" for name in PARTS)):
            answer = answers[path] = await api.request("GET", path)
            again = await api.request("GET", path, headers={"if-none-match": f'W/"x", {answer.headers["etag"]}'})
            assert (answer.status_code, again.status_code, again.content) == (200, 304, b""), path
            other = await api.request("GET", path, headers={"if-none-match": '"x"'})
            assert other.content == answer.content
            assert answer.headers["cache-control"] == "no-cache"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        return answers

    answers = served(tmp_path, scenario)
    assert len({answer.headers["etag"] for answer in answers.values()}) == len(answers)
    assert answers["/page/app.js"].headers["content-type"] == "text/javascript; charset=utf-8"
    assert answers["/page/style.css"].headers["content-type"] == "text/css; charset=utf-8"
    assert b'src="/page/app.js"' in answers["/"].content


def test_a_proxy_may_publish_the_page_under_a_path(tmp_path):
    async def scenario(api):
        api.client._transport.root_path = "/monitor"
        return await api.request("GET", "/")

    page = served(tmp_path, scenario).text
    assert 'src="/monitor/page/app.js"' in page
    assert "{root}" not in page


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "sidecar.html", "__init__.py", "..%2f..%2fproject.toml", "%2e%2e/page.py"]
)
def test_nothing_else_is_given_out(tmp_path, name):
    async def scenario(api):
        return await api.request("GET", f"/page/{name}")

    assert served(tmp_path, scenario).status_code == 404


def test_a_key_is_told_what_it_opens_and_nothing_else(tmp_path):
    keys = [key_setting("r", "dk_r", ["read"]), key_setting("b", "dk_b", ["read", "admin"], ["m"])]

    async def scenario(api):
        found = {}
        for key in (None, "dk_r", "dk_b"):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            answer = await api.request("GET", "/page/service", headers=headers)
            assert answer.headers["cache-control"] == "no-store"
            found[key] = answer.json()
        return found

    found = served(tmp_path, scenario, auth={"keys": keys}, limits={"rows_exposed_min": 7})
    assert found[None]["access"] == dict.fromkeys(("ingest", "read", "admin", "metrics"), "unknown")
    assert found["dk_r"]["access"] == {
        "ingest": "forbidden",
        "read": "ok",
        "admin": "forbidden",
        "metrics": "forbidden",
    }
    assert found["dk_b"]["access"] == dict.fromkeys(("ingest", "read", "admin", "metrics"), "forbidden")
    assert found["dk_r"]["rows_exposed_min"] == 7


def test_the_files_need_nothing_from_elsewhere():
    for name in ("index.html", "sidecar.html", *PARTS):
        text = (FOLDER / name).read_text(encoding="utf-8")
        outside = set(re.findall(r"https?://[^\"'\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\bstyle=|\son\w+=", text
        ), name
        for imported in re.findall(r'from "\./([a-z]+\.js)"|page/([a-z]+\.[a-z]+)', text):
            assert next(filter(None, imported)) in PARTS, (name, imported)


def test_the_wheel_has_every_file_of_the_page():
    root = FOLDER.parent.parent
    included = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}

    assert {f"service/page/{name}" for name in ("index.html", "sidecar.html", "__init__.py", *PARTS)} <= included
