"""A console server for the front end's tests: the built files, and an invented district's answers.

It keeps what the phone sends, by idempotency key, so that a test can say that each came once.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import queue
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from engine.console import requests
from tests.console import bench_data
from tests.console.district import District, ago, text

DIST = Path(__file__).parents[2] / "engine" / "console" / "web" / "dist"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml", ".webmanifest": "application/manifest+json", ".txt": "text/plain"}  # fmt: skip
CAN = {
    "command": "board places feeds stream alerts alert alert_curves tasks task task_curves escalate whistle supervise reassign transfer contact close reject subjects subject subject_curves absences declare_absence revoke_absence silences add_silence end_silence workers change_worker rules rule_versions rule_version dry_run propose_rules approve_rules quality budgets outcomes effectiveness accounts add_account change_account reset_password tokens add_token revoke_token audit looks consents retention set_preferences change_password subject_csv family_links add_family_link",
    "gridworker": "places stream alerts alert alert_curves tasks task task_curves sign contact arrive report pass_on undo add_photo person upload_photo outcome_kinds incident_topics incidents report_incident workers set_preferences change_password",
    "wall": "session board places feeds alerts stream",
}  # fmt: skip


BODIES = {
    "sign": requests.Happened, "arrive": requests.Happened, "contact": requests.ContactAttempt, "report": requests.OutcomeReport, "pass-on": requests.Reason, "reassign": requests.Reassign,
    "transfer": requests.Transfer, "escalate": requests.Reason, "whistle": requests.Whistle, "supervise": requests.Reason, "close": requests.Closing,
}  # fmt: skip


@dataclass
class Fake:
    """State of one fake server."""

    district: District = field(default_factory=District)
    role: str = "command"
    signed_in: bool = True
    language: str = "zh"
    received: list[dict[str, Any]] = field(default_factory=list)
    replayed: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    streams: list[queue.Queue[str]] = field(default_factory=list)
    refuse: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    bytes_sent: int = 0
    board: dict[str, Any] | None = None
    resumed: list[str] = field(default_factory=list)
    """Behind which message each stream began."""
    rated: list[dict[str, Any]] = field(default_factory=list)
    push_key: str | None = None
    broken: bool = False
    """While true the stream breaks off and cannot be opened."""

    def push(self, event: str, data: Any, wait: bool = True) -> None:
        """Send a message to every stream; wait for the page to listen first."""
        for _ in range(250):
            if self.streams or not wait:
                break
            time.sleep(0.02)
        self.district.cursor += 1
        body = {"cursor": self.district.cursor, **data}
        for stream in self.streams:
            stream.put(f"id: {self.district.cursor}\nevent: {event}\ndata: {json.dumps(body)}\n\n")

    def session(self) -> dict[str, Any]:
        wall = self.role == "wall"
        roles = (
            ["command", "dispatcher", "data", "admin", "auditor"]
            if self.role == "command"
            else ["command"]
            if wall
            else [self.role]
        )
        return {"account": {"name": "duty", "display": {"command": "值班长", "gridworker": "网格员 07", "wall": "大屏"}[self.role], "roles": roles, "scope": [""],
                            "worker_id": "w06", "wall": wall, "language": self.language, "theme": "auto", "disabled": False, "signed_in_at": None},
                "csrf": "token", "expires": "2030-01-01T00:00:00Z", "clock": self.district.clock(), "can": ["session", *CAN[self.role].split()], "version": "test"}  # fmt: skip

    # -- answers ----------------------------------------------------------------------------------

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        d = self.district
        if path == "/sign-in":
            return 200, {
                "oidc": None,
                "site": text("青澜区", "Qinglan"),
                "simulated": None,
                "version": "test",
            }
        if path == "/session":
            if method == "POST":
                if body["password"] != "right":
                    return 401, problem(
                        401, "signed_out", "账号或密码不对", "Name or password is wrong"
                    )
                self.signed_in = True
            if method == "DELETE":
                self.signed_in = False
                return 200, {"ok": True}
            return (
                (200, self.session())
                if self.signed_in
                else (401, problem(401, "signed_out", "请登录", "Sign in"))
            )
        if parts[0] == "push":
            held = {"subscription_id": "p-1"} if method == "POST" else {"ok": True}
            return 200, {"key": self.push_key} if method == "GET" else held
        if parts[0] == "family":
            return self.family(method, parts, body)
        if not self.signed_in:
            return 401, problem(401, "signed_out", "请登录", "Sign in")
        if path in self.refuse:
            return self.refuse[path]
        if path == "/board":
            # Computing the figures of many alerts is not the page's time.
            if len(d.alerts) > 1_000 and self.board is None:
                self.board = d.board()
            return 200, self.board or d.board()
        if path == "/places":
            return 200, d.places
        if path == "/clock":
            return 200, d.clock()
        if path == "/alerts":
            return 200, self.page(self.select(query), query)
        if parts[0] == "alerts":
            a = next((a for a in d.alerts if a["alert_id"] == unquote(parts[1])), None)
            if a is None:
                return 404, problem(404, "not_found", "没有这件预警", "There is no such alert")
            return 200, d.curves(a["subject_id"], int(query.get("days", ["1"])[0])) if parts[
                2:
            ] == ["curves"] else d.alert_detail(a)
        if path == "/tasks":
            states = query.get("state", [])
            chosen = [
                d.task(a) for a in d.alerts[:40] if not states or a["task"]["state"] in states
            ]
            if "mine" in query:
                chosen = chosen[:1] + chosen[9:12] if not states or "dispatched" in states else []
            if "mark" in query:
                chosen = [t for t in chosen if t["mark"] == query["mark"][0]]
            return 200, {"items": chosen, "next": None, "total": len(chosen)}
        if parts[0] == "tasks":
            return self.task(method, parts, query, body)
        if path == "/outcomes/kinds":
            return 200, d.outcome_kinds()
        return bench_data.answer(d, method, path, parts, query, body)

    def select(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        found = self.district.alerts
        if "level" in query:
            found = [a for a in found if a["level"] in query["level"]]
        if "unsigned" in query:
            found = [a for a in found if District.unsigned(a)]
        if "mark" in query:
            found = [a for a in found if a["task"]["mark"] == query["mark"][0]]
        if "place" in query:
            found = [a for a in found if a["place"]["place"].startswith(query["place"][0])]
        if "q" in query:
            found = [a for a in found if query["q"][0] in json.dumps(a, ensure_ascii=False)]
        return found

    def page(self, items: list[Any], query: dict[str, list[str]]) -> dict[str, Any]:
        start, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["100"])[0])
        end = start + limit
        chosen = items[start:end]
        if self.role == "wall":
            chosen = [{**a, "subject_id": None, "reason": a["title"]} for a in chosen]
        return {
            "items": chosen,
            "next": str(end) if end < len(items) else None,
            "total": len(items),
        }

    def task(
        self, method: str, parts: list[str], query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        d = self.district
        a = next((a for a in d.alerts if a["task"]["task_id"] == parts[1]), None)
        if a is None:
            return 404, problem(404, "not_found", "没有这个任务", "There is no such task")
        act = parts[2] if len(parts) > 2 else ""
        if act == "curves":
            return 200, d.curves(a["subject_id"], int(query.get("days", ["1"])[0]))
        if act == "person":
            return 200, {"subject_id": a["subject_id"], "name": "沈阿姨", "address": "荷塘里 12 栋 2 单元 302", "phone": "13800000000", "note": "78 岁，耳背，请重敲",
                         "contacts": [{"who": "family", "relation": "女儿", "name": "小沈", "phone": "13900000000"}, {"who": "block_head", "relation": "楼长", "name": None, "phone": "13700000000"}], "logged_at": ago()}  # fmt: skip
        if method == "POST":
            if act in BODIES:
                BODIES[act].model_validate(body)  # what the console would refuse fails the test
            state = {
                "sign": "signed",
                "contact": "handling",
                "arrive": "handling",
                "report": "reported",
                "escalate": "escalated",
                "reassign": "reassigned",
                "pass-on": "reassigned",
                "close": "closed",
            }.get(act)
            if state:
                a["task"] = {**a["task"], "state": state, "mark": ""}
            self.push("task", {"task": d.task(a)}, wait=False)
            if act == "photos":
                return 200, {
                    "photo_id": f"p{len(self.received)}",
                    "at": ago(),
                    "by": "w06",
                    "width": 100,
                    "height": 100,
                    "bytes": 10,
                }
        return 200, d.task_detail(a)

    def family(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if parts[1] != "good-link":
            return 404, problem(404, "not_found", "链接已失效", "This link no longer works")
        away = body.get("until") if method == "POST" and parts[2] == "away" else None
        if method == "POST" and parts[2] == "rating":
            self.rated.append(body)
        visit = {"task_id": "t-0000000000000009", "day": "2026-11-18"}
        return 200, {
            "today": "2026-11-19",
            "away_until": away,
            "absence_id": "x" if away else None,
            "longest_days": 60,
            "zone": "Asia/Shanghai",
            "message": text("", ""),
            "ask": None if self.rated else visit,
        }


def problem(status: int, code: str, zh: str, en: str, **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "code": code,
        "title": text(zh, en),
        "detail": "",
        "reference": "5f2a",
        "retry_after_s": None,
        "errors": [],
        "task": None,
        **more,
    }


def serve(fake: Fake) -> ThreadingHTTPServer:
    """Start a server of the fake on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def reply(self, status: int, content: bytes, kind: str, **headers: str) -> None:
            # As the console does.
            if "gzip" in self.headers.get("Accept-Encoding", "") and len(content) > 1_024:
                content = gzip.compress(content, 5)
                headers["Content_Encoding"] = "gzip"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", POLICY)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(content)
            fake.bytes_sent += len(content)

        def file(self, path: str) -> None:
            target = (DIST / path.lstrip("/")).resolve()
            if not target.is_file() or not target.is_relative_to(DIST.resolve()):
                target = DIST / "index.html"
            kind = TYPES.get(target.suffix, "application/octet-stream")
            return self.reply(200, target.read_bytes(), kind)

        def stream(self) -> None:
            if fake.broken:
                self.json(503, problem(503, "unavailable", "稍后再试", "Try again later"))
                return
            asked = parse_qs(urlsplit(self.path).query).get("cursor", [""])[0]
            fake.resumed.append(self.headers.get("Last-Event-ID") or asked)
            mine: queue.Queue[str] = queue.Queue()
            fake.streams.append(mine)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.close_connection = True
            mine.put(f"retry: 2000\nevent: clock\ndata: {json.dumps(fake.district.clock())}\n\n")
            try:
                while not fake.broken:
                    try:
                        self.wfile.write(mine.get(timeout=0.2).encode())
                    except queue.Empty:
                        self.wfile.write(b":\n\n")
                    self.wfile.flush()
            except OSError:
                pass
            fake.streams.remove(mine)

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            if not url.path.startswith("/api/v1"):
                return self.file(url.path)
            path = url.path.removeprefix("/api/v1")
            if path == "/stream":
                return (
                    self.stream() if fake.signed_in else self.reply(401, b"{}", "application/json")
                )
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            body = json.loads(raw) if raw and is_json else {}
            key = self.headers.get("Idempotency-Key")
            if self.command != "GET" and path != "/session" and not path.startswith("/family"):
                if self.headers.get("X-CSRF-Token") != "token":
                    return self.json(403, problem(403, "csrf", "请刷新", "Reload"))
                if key in fake.keys:
                    fake.replayed.append(key)
                    return self.json(200, json.loads(fake.keys[key]))
                fake.received.append(
                    {
                        "method": self.command,
                        "path": path,
                        "key": key,
                        "body": body,
                        "at": time.time(),
                    }
                )
            status, answer = fake.answer(self.command, path, parse_qs(url.query), body)
            if key and status < 300:
                fake.keys[key] = json.dumps(answer)
            return self.json(status, answer)

        def json(self, status: int, answer: Any) -> None:
            self.reply(
                status,
                json.dumps(answer, ensure_ascii=False).encode(),
                "application/json",
                Cache_Control="no-store",
            )

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
