"""What people do to tasks by the API: once, in order, conflicts told; photos; injection."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import Base

from tests.api.kit import NASTY, Site
from tests.engine.store_kit import GRID, HOUR, MINUTE, T0


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": f"key-of-{name}"}


def test_the_same_request_again_changes_nothing(site: Site) -> None:
    worker = site.client("gridworker")
    for act, body in (
        ("sign", {}),
        ("contact", {"who": "resident", "result": "no_answer"}),
        ("arrive", {}),
        ("report", {"kind": "away", "until": "2026-01-04T16:00:00Z"}),
    ):
        path = f"/tasks/{site.task}/{act}"
        first = worker.api("POST", path, json=body, headers=key(act))
        assert first.status_code == 200, first.text
        again = worker.api("POST", path, json=body, headers=key(act))
        assert again.status_code == 200
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["seq"] == first.json()["seq"]
    assert len(site.store.register.outcomes(task_id=site.task)) == 1
    assert len(site.store.register.absences("home-1")) == 1


def test_a_request_lost_between_act_and_answer_is_not_doubled(site: Site) -> None:
    """The act is durable, the note of it is not: a crash between both."""
    worker = site.client("gridworker")
    path = f"/tasks/{site.task}/sign"
    worker.api("POST", path, json={}, headers=key("sign"))
    with site.store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM requests")
    again = worker.api("POST", path, json={}, headers=key("sign"))
    assert again.status_code == 200
    assert [e.action for e in site.store.tasks.history(site.task)] == ["dispatch", "sign"]


def test_a_key_is_for_one_request(site: Site) -> None:
    worker = site.client("gridworker")
    worker.api("POST", f"/tasks/{site.task}/sign", json={}, headers=key("a"))
    path = f"/tasks/{site.task}/contact"
    other = worker.api("POST", path, json={"who": "x", "result": "busy"}, headers=key("a"))
    assert other.json()["code"] == "key_reused"
    bad = worker.api("POST", path, json={"who": "x", "result": "busy"},
                     headers={"Idempotency-Key": "short"})  # fmt: skip
    assert bad.json()["code"] == "bad_request"


def test_who_comes_second_is_told_who_was_first(site: Site) -> None:
    site.store.tasks.sign(site.task, by="worker-2", at_ns=T0 + 10 * MINUTE)
    late = site.client("gridworker").api("POST", f"/tasks/{site.task}/sign", json={})
    assert late.status_code == 409
    stands = late.json()["task"]
    assert (stands["state"], stands["assignee"], stands["mine"]) == ("signed", "worker-2", False)


def test_work_sent_later_happened_when_it_happened(site: Site) -> None:
    site.times.event_ns = T0 + 3 * HOUR
    worker = site.client("gridworker")
    sent = {"at": "2026-01-01T00:07:00Z"}
    worker.api("POST", f"/tasks/{site.task}/sign", json=sent)
    assert site.store.tasks.get(site.task).signed_ns == T0 + 7 * MINUTE
    worker.api("POST", f"/tasks/{site.task}/arrive", json={"at": "2030-01-01T00:00:00Z"})
    assert site.store.tasks.get(site.task).arrived_ns == T0 + 3 * HOUR  # never after now


def test_a_report_goes_into_the_log_of_its_shard(site: Site) -> None:
    worker = site.client("gridworker")
    worker.api("POST", f"/tasks/{site.task}/sign", json={})
    body = {"kind": "away", "until": "2026-01-04T16:00:00Z"}
    worker.api("POST", f"/tasks/{site.task}/report", json=body)
    told = site.store.register.take("s", 1, 10, T0 + HOUR)
    assert {"absence"} <= {getattr(x.record, "kind", "") for x in told}


def test_the_dispatcher_s_tools(site: Site) -> None:
    desk, worker = site.client("dispatcher"), site.client("gridworker")
    path = f"/tasks/{site.task}"

    def do(act: str, body: dict[str, Any]) -> Any:
        answer = desk.api("POST", f"{path}/{act}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert do("reassign", {"to": "worker-2"})["assignee"] == "worker-2"
    assert do("transfer", {"queue": "gridworker", "to": "worker-1", "why": "x"})["assignee"] == (
        "worker-1"
    )
    assert do("supervise", {"why": "hurry"})["history"][-1]["why"] == "supervised"
    called = do("whistle", {"departments": ["dept-1", "fire"], "limit_s": 3600, "why": "smoke"})
    assert [c["department"] for c in called["calls"]] == ["dept-1", "fire"]
    site.times.event_ns += 2 * HOUR
    calls = desk.api("GET", path).json()["calls"]
    assert [c["mark"] for c in calls] == ["red", "red"]
    assert do("calls/fire/answer", {"text": "put out"})["calls"][1]["answer"] == "put out"
    twice = desk.api("POST", f"{path}/calls/fire/answer", json={"text": "again"})
    assert twice.json()["code"] == "refused"
    worker.api("POST", f"{path}/sign", json={})
    worker.api("POST", f"{path}/report", json={"kind": "rescued"})
    assert do("reject", {"why": "which hospital?"})["state"] == "handling"
    worker.api("POST", f"{path}/report", json={"kind": "rescued", "note": "first"})
    assert do("close", {"satisfaction": 5})["state"] == "closed"
    assert do("reopen", {"why": "again"})["state"] == "handling"
    report = desk.api("GET", "/reports/effectiveness").json()["total"]
    assert (report["reopened"], report["satisfaction"]) == (1, 5.0)


def test_cannot_go_hands_it_one_step_up(site: Site) -> None:
    worker = site.client("gridworker")
    passed = worker.api("POST", f"/tasks/{site.task}/pass-on", json={"why": "too far"}).json()
    assert passed["assignee"] == "worker-2"
    again = worker.api("POST", f"/tasks/{site.task}/pass-on", json={"why": "too far"})
    assert again.status_code == 409


def test_silences_send_nobody_but_never_silence_danger(site: Site) -> None:
    from rules.alerts import Level
    from tests.engine.store_kit import change

    desk = site.client("dispatcher")
    body = {"subject_id": "home-2", "until": "2026-01-02T00:00:00Z", "why": "works"}
    made = desk.api("POST", "/silences", json=body, headers=key("silence"))
    assert made.status_code == 200, made.text
    assert desk.api("POST", "/silences", json=body, headers=key("silence")).json() == made.json()
    before = len(site.store.tasks.list())
    at = T0 + HOUR
    hushed = change("home-2", seq=1, rule="elderly-excess", onset=T0, at=at, level=Level.YELLOW)
    site.store.commit("s", 1, 2, [hushed])
    assert len(site.store.tasks.list()) == before
    assert len(site.store.alerts(subject="home-2")) == 3  # recorded all the same
    red = change("home-2", seq=1, onset=T0 + MINUTE, at=at, level=Level.RED)
    site.store.commit("s", 1, 3, [red])
    task = site.store.tasks.of_alert(red.alert_id)
    assert task is not None
    forever = body | {"until": "2030-01-01T00:00:00Z"}
    assert desk.api("POST", "/silences", json=forever).json()["code"] == "refused"


def test_the_report_counts_what_was_found_last(site: Site) -> None:
    """Not what the database hands out last."""
    from engine.store import schema as t
    from engine.store.database import write

    found = [
        {
            "outcome_id": name, "task_id": site.task, "alert_id": "a", "subject_id": "home-1",
            "rule": "elderly-silence", "kind": kind, "verdict": verdict, "ts_ns": T0 + minutes,
            "until_ns": None, "kw": None, "by": "worker-1", "note": "",
        }
        for name, kind, verdict, minutes in (
            ("o-2", "rescued", "confirmed", 2 * MINUTE), ("o-1", "away", "false", MINUTE),
        )
    ]  # fmt: skip
    with site.store.database.write() as connection:
        write(connection, t.outcomes, found)
    total = site.client("command").api("GET", "/reports/effectiveness").json()["total"]
    assert (total["confirmed"], total["false"]) == (1, 0)


# -- photos ---------------------------------------------------------------------------------------


def picture(size: tuple[int, int] = (640, 480), kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[Base.Make] = "SECRET CAMERA"
    exif[Base.Orientation] = 6
    exif.get_ifd(0x8825)[2] = (30.0, 15.0, 0.0)
    image = Image.effect_noise(size, 50).convert("RGB")
    image.save(out, kind, exif=exif, comment=b"SECRET COMMENT") if kind == "JPEG" else image.save(
        out, kind
    )
    return out.getvalue()


def send(client: Any, path: str, data: bytes, **how: Any) -> Any:
    return client.api("POST", path, files={"file": ("a.jpg", data, "image/jpeg")}, **how)


def test_a_photo_keeps_its_pixels_and_nothing_else(site: Site) -> None:
    worker = site.client("gridworker")
    worker.api("POST", f"/tasks/{site.task}/sign", json={})
    made = send(worker, f"/tasks/{site.task}/photos", picture(), headers=key("photo"))
    assert made.status_code == 200, made.text
    again = send(worker, f"/tasks/{site.task}/photos", picture(), headers=key("photo"))
    assert again.status_code in (200, 422)
    data = site.client("dispatcher").api("GET", f"/photos/{made.json()['photo_id']}").content
    shown = Image.open(io.BytesIO(data))
    assert shown.size == (480, 640)  # turned upright
    assert not shown.getexif()
    assert b"SECRET" not in data
    with site.store.database.read() as connection:
        sealed = connection.exec_driver_sql("SELECT sealed FROM photos").scalar()
    assert sealed is not None
    assert data not in sealed
    assert b"JFIF" not in sealed
    looks = site.client("auditor").api("GET", "/audit/looks").json()["items"]
    assert [x["action"] for x in looks] == ["photo_seen"]
    assert site.client("other").api("GET", f"/photos/{made.json()['photo_id']}").status_code == 404


def test_four_photos_and_no_fifth(site: Site) -> None:
    worker = site.client("gridworker")
    worker.api("POST", f"/tasks/{site.task}/sign", json={})
    codes = [
        send(worker, f"/tasks/{site.task}/photos", picture((64 + i, 64))).status_code
        for i in range(5)
    ]
    assert codes == [200] * 4 + [422]


def bomb() -> bytes:
    """Return a PNG of a few kilobytes that unpacks to 2.5 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = (50_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes(6_251) * 500, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 415),
        (b"GIF89a" + bytes(100), 415),
        (b"MZ" + bytes(1_000), 415),
        (picture()[:200], 415),
        (bomb(), 413),
        (bytes(9_000_000), 413),
    ],
    ids=["empty", "svg", "gif", "exe", "cut", "bomb", "9MB"],
)  # fmt: skip
def test_what_is_no_photo_is_refused(site: Site, data: bytes, status: int) -> None:
    worker = site.client("gridworker")
    answer = send(worker, "/photos", data)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_hundred_megabytes_are_cut_off_unread(site: Site) -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            taken += 1
            yield bytes(1_000_000)

    worker = site.client("gridworker")
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = worker.api("POST", "/photos", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert taken <= 100
    lied = worker.api("POST", "/photos", content=b"x",
                      headers=headers | {"Content-Length": "100000000"})  # fmt: skip
    assert lied.status_code == 413


def test_a_large_json_body_is_cut_off(site: Site) -> None:
    body = {"topic": "noise", "place": GRID, "text": "x" * 3_000_000}
    assert site.client("gridworker").api("POST", "/incidents", json=body).status_code == 413


# -- what people write ------------------------------------------------------------------------------


def test_strings_meant_for_machines_stay_text(site: Site) -> None:
    worker, desk = site.client("gridworker"), site.client("dispatcher")
    worker.api("POST", f"/tasks/{site.task}/sign", json={})
    body = {"kind": "refused", "note": NASTY}
    answer = worker.api("POST", f"/tasks/{site.task}/report", json=body)
    assert answer.status_code == 200, answer.text
    incident = worker.api(
        "POST", "/incidents", json={"place": GRID, "topic": "other", "text": NASTY}
    )
    assert incident.json()["text"] == NASTY
    assert desk.api("GET", "/incidents").json()["items"][0]["text"] == NASTY
    for q in (NASTY, "'; DROP TABLE tasks; --", "%", "_", "\\", "home-1' OR '1'='1"):
        found = desk.api("GET", "/alerts", params={"q": q})
        assert found.status_code == 200
    assert [x.note for x in site.store.register.outcomes()] == [NASTY]
    page = desk.api("GET", "/reports/effectiveness.html?lang=zh").text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    table = desk.api("GET", "/reports/effectiveness.csv").text
    assert "\n=" not in table
    assert ",=" not in table


def test_paging_shows_everything_once(site: Site) -> None:
    desk = site.client("dispatcher")
    for path in ("/alerts?state=firing&state=resolved", "/tasks", "/subjects?sort=id", "/subjects"):
        joint = "&" if "?" in path else "?"
        whole = [str(x) for x in desk.api("GET", path).json()["items"]]
        paged, cursor = [], ""
        while True:
            page = desk.api("GET", f"{path}{joint}limit=1&cursor={cursor}").json()
            paged += [str(x) for x in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert len(paged) == len(whole) == len(set(paged))
        bad = desk.api("GET", f"{path}{joint}cursor=AAAA")
        assert bad.status_code == 400


def test_a_curve_shows_the_silence_and_tells_missing_from_zero(site: Site) -> None:
    site.times.event_ns = T0
    desk = site.client("dispatcher")
    found = desk.api("GET", "/subjects/home-1/curves?days=2&to=2026-01-01T00:00:00Z").json()
    curve = found["curves"][0]
    assert len(curve["values"]) == 192
    assert None in curve["values"]
    assert 0.01 in curve["values"]
    assert curve["days"] >= 5
    assert any(v is not None for v in curve["high"])
    assert len(found["raster"]) == 10
    assert {c for d in found["raster"] for c in d["cells"]} <= set("01. ")
    table = site.client("data").api("GET", "/subjects/home-1/curves.csv?to=2026-01-01T00:00:00Z")
    assert table.text.startswith("utility,unit,ts,value")
