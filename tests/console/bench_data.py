"""Answers of the fake console for the workbench, lists, reports and administration."""

from __future__ import annotations

from typing import Any

from engine.console import boards, requests, schemas, series
from tests.console.district import RULES, TITLES, District, ago, ahead, text

QUANTILES = {"count": 120, "p25": 7_200.0, "p50": 14_040.0, "p75": 25_000.0, "p90": 34_560.0}


def answer(
    d: District, method: str, path: str, parts: list[str], query: dict[str, list[str]], body: Any
) -> tuple[int, Any]:
    """Answer what the board and the phone do not need."""
    simple = {
        "/feeds": lambda: d.board()["feeds"], "/workers": lambda: workers(d), "/absences": lambda: page(absences()), "/silences": lambda: [silence(d)],
        "/incidents/topics": topics, "/incidents": lambda: page([]), "/rules": rules, "/rules/versions": versions, "/quality": quality, "/budgets": lambda: quality()["budgets"],
        "/outcomes": lambda: page(outcomes()), "/reports/effectiveness": effectiveness, "/accounts": accounts, "/tokens": list, "/audit": lambda: page(audit()), "/audit/looks": lambda: page(audit("look")),
        "/consents": lambda: page([{"subject_id": "E-0000-19", "fields": ["name", "address", "phone"], "purpose": "独居关怀", "until": ahead(days=200), "expired": False}]),
        "/retention": lambda: {"photos_days": 180, "looks_days": 1_095, "curves_days": 400, "sessions_days": 90, "last_sweep": ago(hours=3), "removed": {"photos": 12}},
        "/subjects": lambda: page(subjects(d)),
    }  # fmt: skip
    if path == "/incidents" and method == "POST":
        requests.NewIncident.model_validate(body)
        return 200, {
            "report_id": "r1",
            "at": ago(),
            "place": d.ref(body["place"]),
            "topic": body["topic"],
            "text": body.get("text", ""),
            "by": "w06",
            "photos": [],
            "merged_into": None,
            "similar": 0,
        }
    if path == "/photos":
        return 200, {
            "photo_id": "p9",
            "at": ago(),
            "by": "w06",
            "width": 10,
            "height": 10,
            "bytes": 10,
        }
    if method == "PATCH" and path == "/session/preferences":
        return 200, {"language": body.get("language", "zh"), "theme": body.get("theme", "auto")}
    if method in ("POST", "PATCH", "PUT", "DELETE"):
        return 200, {"ok": True}
    if path in simple:
        return 200, simple[path]()
    if parts[0] == "subjects" and len(parts) > 2 and parts[2] == "curves":
        return 200, d.curves(parts[1], int(query.get("days", ["7"])[0]))
    if parts[0] == "subjects" and len(parts) > 2:
        return 200, []
    if parts[0] == "subjects":
        return 200, subject(d, parts[1])
    if parts[:2] == ["rules", "versions"] and len(parts) > 3:
        return 200, dry_run(parts[2])
    if parts[:2] == ["rules", "versions"]:
        return 200, version(parts[2])
    return 404, {
        "status": 404,
        "code": "not_found",
        "title": text("没有找到", "Not found"),
        "detail": path,
        "reference": "",
        "retry_after_s": None,
        "errors": [],
        "task": None,
    }


def page(items: list[Any]) -> dict[str, Any]:
    return {"items": items, "next": None, "total": len(items)}


def workers(d: District) -> list[Any]:
    return [boards.WorkerInfo.model_validate({"worker_id": f"w{i:02d}", "label": text(f"网格员 {i + 1:02d}", f"Worker {i + 1:02d}"), "grids": [d.ref(d.grids[i]["place"])], "role": "gridworker" if i % 6 else "grid_leader", "shift": "08:00-20:00", "stand_in": f"w{(i + 1) % 12:02d}", "on_duty": i % 5 > 0, "open": i % 4, "to_sign": i % 2}).model_dump() for i in range(12)]  # fmt: skip


def absences() -> list[Any]:
    return [schemas.Absence.model_validate({"absence_id": f"b{i}", "subject_id": f"E-00{i}2-08", "kind": "away", "text": text("外出", "away"), "from": ago(days=2), "until": ahead(days=3), "source": source, "by": "w07", "declared_at": ago(days=2), "revoked_at": None, "holds": True}).model_dump(by_alias=True) for i, source in enumerate(("family", "phone", "outcome:away"))]  # fmt: skip


def silence(d: District) -> dict[str, Any]:
    return boards.Silence.model_validate({"silence_id": "s1", "rule": "rental-occupied", "place": d.ref("330199001001"), "subject_id": None, "from": ago(hours=3), "until": ahead(hours=21), "by": "duty", "why": "整栋楼线路改造", "revoked_at": None, "holds": True}).model_dump(by_alias=True)  # fmt: skip


def topics() -> list[Any]:
    names = {
        "facility": ("设施损坏", "Damage"),
        "fire": ("火灾隐患", "Fire risk"),
        "vehicle": ("可疑车辆", "Vehicle"),
        "noise": ("噪声扰民", "Noise"),
        "dispute": ("邻里纠纷", "Dispute"),
        "other": ("其他", "Other"),
    }
    return [{"topic": k, "text": text(*v)} for k, v in names.items()]


def rules() -> list[Any]:
    return [boards.RuleInfo.model_validate({"rule": r, "title": text(*TITLES[k]), "description": None, "version": "v12-9f3c", "level": "red", "kinds": [k], "grain": "subject", "budget": 0.5, "scope": "fleet", "shadow": k == "plant", "yaml": None, "open": 3}).model_dump() for k, r in RULES.items()]  # fmt: skip


def _version(name: str, status: str) -> dict[str, Any]:
    return {
        "version": name,
        "author": "lin",
        "approver": None if status == "proposed" else "chen",
        "status": status,
        "at": ago(days=1),
        "note": "缩短等待，加入周几外出习惯",
        "files": ["elderly-silence.yaml"],
        "mine": False,
        "has_report": True,
        "tests_passed": 12,
        "tests_failed": 0,
    }


def versions() -> list[Any]:
    return [_version("v13-77ab", "proposed"), _version("v12-9f3c", "active")]


def version(name: str) -> dict[str, Any]:
    lines = [
        (" ", 21, 21, "when: silence.evidence >= budget.line"),
        ("-", 22, None, "for: 45m"),
        ("+", None, 22, "for: 30m"),
        (" ", 23, 23, "unless:"),
        ("+", None, 24, "  - away.habit(subject, weekday) > 0.6"),
    ]
    return boards.RuleVersionDetail.model_validate({**_version(name, "proposed"), "yaml": {"elderly-silence.yaml": "rule: x\n"}, "diff": [{"file": "elderly-silence.yaml", "op": o, "old": a, "new": b, "text": t} for o, a, b, t in lines], "leaves": ["elderly-decline", "water-leak"], "untested": ["hall-lamp"]}).model_dump(by_alias=True)  # fmt: skip


def dry_run(name: str) -> dict[str, Any]:
    """As `engine.dryrun_page.as_json` writes it."""

    def side(i: int) -> dict[str, Any]:
        return {
            "alert_id": f"a{i}",
            "level": "red" if i % 2 else "orange",
            "onset": ago(days=i + 1),
            "raised_at": ago(days=i + 1),
            "state": "resolved",
        }

    changes = [
        {"change": "lost" if i % 3 else "gained", "rule": "elderly-silence", "subject": f"E-{i}1MC-02", "place": "330199001002003", "moved_s": 0,
         "outcome": "confirmed" if i == 1 else "false", "old": side(i) if i % 3 else None, "new": None if i % 3 else side(i), "reason": text("周二外出习惯 0.68", "out on Tuesdays, 0.68")}
        for i in range(12)
    ]  # fmt: skip
    report = {
        "days": 184.0, "alerts": {"old": 255, "new": 217, "gained": 14, "lost": 52, "earlier": 7, "later": 0, "relevelled": 0, "same": 203, "lost_confirmed": 1},
        "visits": {"old": 230, "new": 195, "extra_per_worker_day": -0.19, "workers": [{"worker": f"w{i:02d}", "old": 9, "new": 5, "extra_per_day": round(-0.56 + 0.024 * i, 3)} for i in range(41)]},
        "budgets": [{"rule": "elderly-silence", "old": {"asked": 0.5, "spent": 3, "realised": 0.43}, "new": {"asked": 0.5, "spent": 2, "realised": 0.37}}], "changes": changes,
    }  # fmt: skip
    return boards.DryRun.model_validate({"version": name, "against": "v12-9f3c", "at": ago(hours=2), "report": report}).model_dump()  # fmt: skip


def quality() -> dict[str, Any]:
    rows = []
    for i, (kind, rule) in enumerate(RULES.items()):
        realised = [0.43, 0.14, 0.094, None][i]
        rows.append({"rule": rule, "title": text(*TITLES[kind]), "version": "v12", "subjects": [689, 71, 2_593, 318][i], "budget": [0.5, 0.2, 0.09, 0.1][i], "scope": "fleet", "alerts": 90, "false": 30, "confirmed": 9, "unknown": 3, "years": 300.0,
                     "realised": realised, "low": realised and realised * 0.7, "high": realised and realised * 1.35, "verdict": ["held", "held", "over", "too_few"][i], "delay": QUANTILES})  # fmt: skip
    confusion = {"outcomes": ["rescued", "safe_at_home", "away", "power_cut"], "outcome_texts": {"rescued": text("已救助", "rescued"), "safe_at_home": text("在家平安", "safe at home"), "away": text("外出", "away"), "power_cut": text("停电", "power cut")},
                 "rules": list(RULES.values()), "counts": [[9, 0, 0, 0], [31, 0, 2, 0], [88, 0, 6, 1], [4, 1, 0, 47]]}  # fmt: skip
    return boards.Quality.model_validate({"from": ago(days=90), "to": ago(), "budgets": rows, "confusion": confusion, "by_model": {**confusion, "rules": ["inactivity", "production", "occupied", "fade"]}, "sign_delay": QUANTILES, "door_delay": QUANTILES, "close_delay": QUANTILES, "recall": {}}).model_dump(by_alias=True)  # fmt: skip


def outcomes() -> list[Any]:
    return [schemas.Outcome.model_validate({"outcome_id": f"o{i}", "task_id": "t", "alert_id": "a", "subject_id": "E-0000-19", "rule": "elderly-silence", "kind": "safe_at_home", "text": text("在家平安", "safe at home"), "verdict": "false", "at": ago(days=3 + i), "until": None, "kw": None, "by": "w06", "note": ""}).model_dump() for i in range(3)]  # fmt: skip


def effectiveness() -> dict[str, Any]:
    def row(key: str, zh: str, en: str) -> dict[str, Any]:
        return {"key": key, "label": text(zh, en), "alerts": 288, "tasks": 240, "signed": 238, "signed_in_time": 0.96, "sign_p50_s": 228.0, "sign_p90_s": 672.0, "reported": 230, "closed": 226, "on_time": 0.942, "resolved": 0.9, "reopened": 3,
                "confirmed": 118, "false": 160, "unknown": 10, "confirmed_rate": 0.41, "satisfaction": 4.6, "causes": {"away": 88, "safe_at_home": 42, "power_cut": 18, "meter_fault": 12}}  # fmt: skip

    return boards.Effectiveness.model_validate({"from": ago(days=30), "to": ago(), "made_at": ago(), "total": row("", "合计", "All"), "by_rule": [row(r, *TITLES[k]) for k, r in RULES.items()], "by_grid": [row(f"g{i}", f"荷塘 {i} 网格", f"Hetang {i}") for i in range(1, 6)], "simulated": None}).model_dump(by_alias=True)  # fmt: skip


def accounts() -> list[Any]:
    return [schemas.Account.model_validate({"name": n, "display": z, "roles": [r], "scope": [""] if i < 2 else ["330199001"], "worker_id": None, "wall": n == "wall", "language": "zh", "theme": "auto", "disabled": i == 3, "signed_in_at": ago(hours=i)}).model_dump() for i, (n, z, r) in enumerate([("duty", "值班长", "command"), ("wall", "大屏", "command"), ("w07", "网格员 07", "gridworker"), ("lin", "林分析", "data")])]  # fmt: skip


def audit(action: str = "sign") -> list[Any]:
    return [boards.AuditEntry.model_validate({"id": i, "at": ago(minutes=9 * i), "wall_at": ago(minutes=9 * i), "who": "w07", "action": action, "what": "E-0000-19", "detail": {"task": "t-1", "fields": ["name", "phone"], "why": "上门"}}).model_dump() for i in range(8)]  # fmt: skip


def subjects(d: District) -> list[Any]:
    return [series.SubjectSummary.model_validate({"subject_id": f"E-{i:04d}-19", "kind": "elderly_alone", "place": a["place"], "evidence": None if i == 9 else round(5.1 / (i + 1), 1), "open_alert": a["alert_id"] if i < 4 else None, "level": a["level"] if i < 4 else None, "absent_until": None, "simulated": True}).model_dump() for i, a in enumerate(d.alerts[:14])]  # fmt: skip


def subject(d: District, name: str) -> dict[str, Any]:
    a = d.alerts[0]
    return series.SubjectDetail.model_validate({"subject_id": name, "kind": "elderly_alone", "place": a["place"], "evidence": 5.1, "open_alert": a["alert_id"], "level": "red", "absent_until": None, "simulated": True, "path": a["path"], "attrs": {},
        "meters": [{"utility": "electricity", "kind": "interval", "unit": "kWh", "interval_s": 900, "last": ago(minutes=16), "complete": 0.987}, {"utility": "water", "kind": "register", "unit": "m3", "interval_s": 3_600, "last": ago(minutes=46), "complete": 0.98}],
        "signals": [{"signal": "inactivity.electricity", "text": text("15:15 起无活动", "Nothing since 15:15"), "weight": 3.1, "running": 3.1, "counted": True}, {"signal": "inactivity.water", "text": text("14 时起 0 升", "0 litres since 14:00"), "weight": 2.0, "running": 5.1, "counted": True}],
        "outcomes": outcomes(), "absences": [], "alerts": [a], "ready": True, "history_days": 56}).model_dump(by_alias=True)  # fmt: skip
