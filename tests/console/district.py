"""An invented district as the API would tell of it: every answer is checked by the API's models.

The front end's tests run on it without the engine: what is on screen is the same in every run. The
moment is Thursday 2026-11-19 21:46:08 in Shanghai.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.console import boards, schemas, series

NOW = datetime(2026, 11, 19, 13, 46, 8, tzinfo=UTC)
STREETS = {
    "松溪街道": ["北苑", "荷塘", "松南", "银杏", "长兴里", "新桥"],
    "云渡街道": ["渡口", "云栖里", "东湾", "望亭", "青年路", "码头"],
    "柳桥街道": ["石井", "柳荫", "南苑", "桥西", "竹园", "老街"],
    "石屏街道": ["铁路西", "石屏", "东郊", "塘下", "机电", "北站"],
}
LEVELS = ("red", "orange", "yellow", "blue")
KINDS = ("elderly_alone", "closed_plant", "rental", "plant")
SENTENCES = {
    "elderly_alone": ("{h} 小时 20 分没有用电活动，往常此时该有晚饭和晚间两个高峰", "No sign of life in electricity for {h} h 20 min; usually supper and the evening show by now"),
    "closed_plant": ("夜间负荷为停产待机的 {h} 倍，本月已用 10,228 kWh", "Night load is {h} times the standby after closure; 10,228 kWh this month"),
    "rental": ("空置房连续 {h} 晚有人活动", "A vacant flat has shown activity for {h} nights"),
    "plant": ("四周负荷下降 {h}8%，同行持平", "Load fell {h}8% over four weeks; its sector held steady"),
}  # fmt: skip
TITLES = {
    "elderly_alone": ("独居老人用电静默", "Silence of someone living alone"),
    "closed_plant": ("关停企业夜间生产", "Closed plant runs at night"),
    "rental": ("空置房转入住", "Vacant flat occupied"),
    "plant": ("在产企业负荷走低", "Running firm is fading"),
}
RULES = {"elderly_alone": "elderly-silence", "closed_plant": "closed-plant-production", "rental": "rental-occupied", "plant": "plant-fade"}  # fmt: skip


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(**length: float) -> str:
    return stamp(NOW - timedelta(**length))


def ahead(**length: float) -> str:
    return stamp(NOW + timedelta(**length))


def text(zh: str, en: str) -> dict[str, str]:
    return {"zh": zh, "en": en}


class District:
    """All that the fake console tells of; `count` alerts are open."""

    def __init__(self, count: int = 47) -> None:
        self.places = self._places()
        self.grids = [p for p in self.places if p["level"] == "grid"]
        self.by_code = {p["place"]: p for p in self.places}
        self.alerts = [self.alert(i) for i in range(count)]
        self.alerts.sort(
            key=lambda a: (
                LEVELS.index(a["level"]),
                not self.unsigned(a),
                (a["task"]["due"] or {}).get("at", "~"),
            )
        )
        self.cursor = 100

    # -- places -------------------------------------------------------------------------------

    @staticmethod
    def _places() -> list[dict[str, Any]]:
        out = [
            {"place": "330199", "parent": None, "name": "青澜区", "level": "county", "subjects": {}}
        ]
        for s, (street, communities) in enumerate(STREETS.items(), start=1):
            code = f"330199{s:03d}"
            out.append(
                {
                    "place": code,
                    "parent": "330199",
                    "name": street,
                    "level": "street",
                    "subjects": {},
                }
            )
            for c, name in enumerate(communities, start=1):
                inner = f"{code}{c:03d}"
                out.append(
                    {
                        "place": inner,
                        "parent": code,
                        "name": name + "社区",
                        "level": "community",
                        "subjects": {},
                    }
                )
                for g in range(1, 6 + (c + s) % 2):
                    out.append({"place": f"{inner}{g:03d}", "parent": inner, "name": f"{g} 网格", "level": "grid",
                                "subjects": {"elderly_alone": 23 + g, "rental": 61 + c, "plant": 2}})  # fmt: skip
        return out

    def ref(self, code: str) -> dict[str, str]:
        p = self.by_code[code]
        return {"place": p["place"], "name": p["name"], "level": p["level"]}

    def path(self, code: str) -> list[dict[str, str]]:
        return [self.ref(code[:n]) for n in (6, 9, 12, 15) if len(code) >= n]

    # -- alerts and tasks -----------------------------------------------------------------------

    @staticmethod
    def unsigned(a: dict[str, Any]) -> bool:
        return bool(a["task"]) and a["task"]["state"] in ("dispatched", "escalated", "reassigned")

    def alert(self, i: int) -> dict[str, Any]:
        level = LEVELS[0 if i < 2 else 1 if i < 9 else 2 if i < 26 or i % 3 == 0 else 3]
        kind = KINDS[
            0 if level == "red" else 1 if level == "orange" else (i % 2) * 2 + (i % 3 == 0)
        ]
        kind = "plant" if level == "blue" and i % 2 else kind
        grid = self.grids[(i * 37 + 11) % len(self.grids)]["place"]
        state = "dispatched" if i in (0, 2, 4, 9, 26) else ("signed", "handling")[i % 2]
        minutes = 11 + 17 * (i % 60)
        left = {0: 232, 2: -68, 4: 352}.get(i, 600 + 2_777 * (i % 40))
        step = "sign" if state == "dispatched" else "door" if i % 3 else "close"
        due = {"step": step, "at": ahead(seconds=left), "yellow_at": ahead(seconds=left - 0.2 * (left + minutes * 60)),
               "done_at": None, "mark": "red" if left < 0 else "yellow" if i == 4 else ""}  # fmt: skip
        zh, en = SENTENCES[kind]
        h = 2 + i % 7 if i else 6
        task = {"task_id": f"t-{i:016x}", "state": state, "queue": "gridworker", "assignee": f"w{i % 41:02d}",
                "assignee_label": text(f"网格员 {i % 41 + 1:02d}", f"Worker {i % 41 + 1:02d}"), "mark": due["mark"], "due": due}  # fmt: skip
        return schemas.AlertSummary.model_validate(
            {"alert_id": f"a{i:019x}", "seq": 1, "state": "firing", "level": level, "rule": RULES[kind], "title": text(*TITLES[kind]),
             "subject_id": f"E-{i:04d}-19", "subject_kind": kind, "place": self.ref(grid), "path": self.path(grid),
             "onset": ago(minutes=minutes + 380), "raised_at": ago(minutes=minutes), "at": ago(minutes=minutes), "evidence": 5.1,
             "reason": text(zh.format(h=h), en.format(h=h)), "quiet_if": text("20:50 前任一 15 分钟用电达到 0.03 kWh，或登记了今日外出", "0.03 kWh in any quarter of an hour before 20:50, or a declared absence today"),
             "task": task, "simulated": True}
        ).model_dump(by_alias=True)  # fmt: skip

    def task(self, a: dict[str, Any], mine: bool = True) -> dict[str, Any]:
        b = a["task"]
        limits = [{"step": s, "at": ahead(minutes=m), "yellow_at": ahead(minutes=m - 5), "done_at": None, "mark": ""}
                  for s, m in (("sign", 4), ("contact", 19), ("door", 49), ("report", 200), ("close", 1_400))]  # fmt: skip
        return schemas.TaskSummary.model_validate(
            {**b, "seq": 1, "alert_id": a["alert_id"], "alert_state": "firing", "alerts": 1, "subject_id": a["subject_id"],
             "subject_kind": a["subject_kind"], "place": a["place"], "path": a["path"], "rule": a["rule"], "title": a["title"], "level": a["level"],
             "kind": "visit", "reason": a["reason"], "quiet_if": a["quiet_if"], "opened_at": a["raised_at"], "updated_at": a["at"], "outcome": None,
             "contact_first": [{"who": "resident", "wait_s": 300}, {"who": "family", "wait_s": 600}], "limits": limits, "ladder_step": 0, "mine": mine}
        ).model_dump(by_alias=True)  # fmt: skip

    def task_detail(self, a: dict[str, Any]) -> dict[str, Any]:
        state = a["task"]["state"]
        waiting = state in ("dispatched", "escalated", "reassigned")
        actions = (
            ["sign", "pass_on"]
            if waiting
            else ["contact", "arrive", "report", "pass_on", "person"]
            if state in ("signed", "handling")
            else ["undo"]
        )
        return schemas.TaskDetail.model_validate(
            {**self.task(a), "history": [
                {"seq": 0, "at": a["raised_at"], "action": "open", "state_from": None, "state_to": "dispatched", "by": "system", "why": "", "detail": {}},
                {"seq": 1, "at": ago(minutes=9), "action": "contact", "state_from": "dispatched", "state_to": "dispatched", "by": "system", "why": "", "detail": {"who": "resident", "result": "no_answer"}}],
             "photos": [], "calls": [], "outcomes": self.outcome_kinds(),
             "person": {"state": "sign_first" if waiting else "open", "text": text("签收后可看姓名、门牌和电话", "Sign for it to see name, door and phone")},
             "actions": actions, "ladder": [{"to": "stand_in", "at": ahead(minutes=4), "taken": False}, {"to": "grid_leader", "at": ahead(minutes=19), "taken": False}]}
        ).model_dump(by_alias=True)  # fmt: skip

    @staticmethod
    def outcome_kinds() -> list[dict[str, Any]]:
        from engine.outcomes import KINDS as ALL

        return [
            schemas.OutcomeKind(
                kind=name, text=schemas.Text(zh=k.zh, en=k.en), verdict=str(k.verdict), needs=list(k.needs),  # type: ignore[arg-type]
                quiets=k.quiets, longest_days=k.longest_s // 86_400 if k.quiets else None,
            ).model_dump()
            for name, k in ALL.items()
        ]  # fmt: skip

    def alert_detail(self, a: dict[str, Any]) -> dict[str, Any]:
        weights = [("inactivity.electricity", "15:15 起无活动；此人同时段最长无害静默 2 小时 45 分", "Nothing since 15:15; longest harmless silence at this time 2 h 45 min", 3.1),
                   ("inactivity.water", "14 时起 0 升，7 个整点", "0 litres since 14:00, 7 hours", 2.2),
                   ("neighbours", "同集中器 34/36 户有读数且正常，不是停电", "34 of 36 homes on this concentrator read normally: no power cut", 0.6),
                   ("habit", "近 8 个周四有 2 次傍晚外出", "Out in the evening on 2 of the last 8 Thursdays", -0.8),
                   ("inactivity.gas", "日表，今日尚无读数", "Daily meter, no reading yet today", None)]  # fmt: skip
        running, entries = 0.0, []
        for name, zh, en, w in weights:
            running += w or 0
            entries.append(
                {
                    "signal": name,
                    "text": text(zh, en),
                    "weight": w,
                    "running": running if w is not None else None,
                    "counted": w is not None,
                }
            )
        line = [("15:15", "past", "最后一次活动", "Last sign of life"), ("21:35", "past", "发出预警，红色", "Alert raised, red"), ("21:36", "past", "自动电话：本人未接", "Automatic call: no answer"),
                ("21:41", "past", "联系家属：未接，短信已送达", "Family called: no answer, message delivered"), ("21:42", "now", "派单给网格员 07，等待签收", "Sent to worker 07, waiting to be signed"),
                ("21:50", "next", "签收时限，未签则转副岗", "Limit for signing; then the stand-in"), ("22:05", "next", "联系时限", "Limit for contact"), ("22:35", "next", "到门时限", "Limit for the door"), (None, "next", "结果", "Outcome")]  # fmt: skip

        def at(hm: str | None) -> str | None:
            return (
                stamp(datetime(2026, 11, 19, int(hm[:2]) - 8, int(hm[3:]), tzinfo=UTC))
                if hm
                else None
            )

        return schemas.AlertDetail.model_validate(
            {**a, "p_value": 8e-6, "budget": 0.5, "rule_version": "v12-9f3c01ab", "facts": {"silent_hours": 6.33}, "counterfactual": [{"reading": {}}],
             "changes": [{"seq": 1, "at": a["at"], "state": "firing", "level": a["level"], "reason": a["reason"]}],
             "ledger": {"entries": entries, "total": 5.1, "line": 4.4, "p_value": 8e-6, "budget": 0.5},
             "timeline": [{"at": at(t), "state": s, "what": "x", "text": text(zh, en), "by": None, "mark": ""} for t, s, zh, en in line],
             "provenance": {"rule": a["rule"], "rule_version": "v12-9f3c01ab", "shard": "s01", "offset": 53_760, "inputs": [{"file": "readings.parquet", "sha256": "9f3c" * 16}],
                            "audit": f"gridwarden audit alerts.ndjson --alert {a['alert_id']}", "body_hash": "e07a" * 16},
             "outcomes": [], "absences": [], "person": {"state": "holder_only", "text": text("姓名、门牌、电话只对持单人解密", "Name, door and phone are shown to the holder of the task only")},
             "actions": ["reassign", "escalate", "contact", "whistle", "supervise"]}
        ).model_dump(by_alias=True)  # fmt: skip

    # -- curves ---------------------------------------------------------------------------------

    @staticmethod
    def usual(hour: float) -> float:
        peaks = ((6.8, 0.9, 0.11), (11.3, 0.9, 0.21), (17.8, 1.6, 0.24), (20.6, 1.3, 0.1))
        return 0.011 + sum(h * math.exp(-(((hour - at) / w) ** 2)) for at, w, h in peaks)

    def curves(self, subject: str, days: int = 1) -> dict[str, Any]:
        start = datetime(2026, 11, 18, 16, tzinfo=UTC) - timedelta(days=days - 1)
        n = 96 * days
        values: list[float | None] = []
        for i in range(n):
            hour = i % 96 / 4
            wave = (0.45 + 0.75 * ((i * 7_919) % 13) / 13) * self.usual(hour)
            at = start + timedelta(minutes=15 * i)
            silent = at >= datetime(2026, 11, 19, 7, 15, tzinfo=UTC)
            values.append(
                None
                if at >= NOW or (i + 96) % 96 in (14, 15)
                else 0.012
                if silent or hour < 5
                else round(wave, 3)
            )
        usual = [self.usual(i % 96 / 4) for i in range(n)]
        window = {"from": stamp(start), "to": stamp(start + timedelta(days=days))}
        rows = []
        for d in range(10):
            day = datetime(2026, 11, 10, tzinfo=UTC) + timedelta(days=d)
            cells = "".join(
                "1" if ((i * 31 + d * 17) % 11) / 11 < self.usual(i / 4) * 4 - 0.1 else "0"
                for i in range(96)
            )
            if d == 9:
                cells = cells[:61] + "0" * 26 + " " * 9
            rows.append(
                {
                    "date": day.strftime("%Y-%m-%d"),
                    "cells": cells if d != 4 else cells[:40] + "." * 12 + cells[52:],
                }
            )
        evidence = [0.0 if i < n - 35 else min(5.1, (i - n + 35) * 0.2) for i in range(n - 9)]
        return series.Curves.model_validate(
            {"subject_id": subject, **window,
             "curves": [{"utility": "electricity", "unit": "kWh", "interval_s": 900, **window, "values": values, "low": [round(u * 0.25, 3) for u in usual], "high": [round(u * 1.3, 3) for u in usual],
                         "threshold": 0.03, "standby": 0.009, "complete": 0.987, "days": 56}],
             "raster": rows, "evidence": [{"signal": "inactivity", "interval_s": 900, "from": window["from"], "values": evidence, "line": 4.4}],
             "silent": {"from": "2026-11-19T07:15:00Z", "to": "2026-11-19T13:35:00Z"},
             "marks": [{"at": "2026-11-19T13:35:00Z", "until": None, "kind": "alert", "text": text("红色预警", "Red alert"), "alert_id": None}],
             "summary": text("15:15 起没有用电活动，往常此时有两个高峰", "No activity since 15:15, where two peaks are usual")}
        ).model_dump(by_alias=True)  # fmt: skip

    # -- the board ------------------------------------------------------------------------------

    @staticmethod
    def clock() -> dict[str, Any]:
        return {
            "now": stamp(NOW),
            "speed": 1.0,
            "last_data": ago(seconds=52),
            "zone": "Asia/Shanghai",
            "simulated": text(
                "模拟数据：地点、人和读数都是虚构的",
                "Simulated data: places, people and readings are invented",
            ),
        }

    def board(self) -> dict[str, Any]:
        counts = {level: sum(a["level"] == level for a in self.alerts) for level in LEVELS}
        to_sign = sum(map(self.unsigned, self.alerts))
        over = sum(a["task"]["mark"] == "red" for a in self.alerts)
        spark = [round(8 + 4 * math.sin(i / 3) + (i * 7 % 5) / 2, 2) for i in range(24)]

        def kpi(
            name: str,
            zh: str,
            en: str,
            value: float | None,
            note: tuple[str, str] | None,
            **more: Any,
        ) -> dict[str, Any]:
            return {
                "name": name,
                "label": text(zh, en),
                "value": value,
                "unit": text(
                    *{"sign_time": ("分 p50", "min p50"), "open": ("件", "")}.get(name, ("%", "%"))
                ),
                "note": text(*note) if note else None,
                "spark": spark,
                **more,
            }

        tiles = []
        for p in self.grids:
            here = [a for a in self.alerts if a["place"]["place"] == p["place"]]
            worst = min((a["level"] for a in here), key=LEVELS.index, default=None)
            dark = p["place"].startswith("330199002003") and p["place"][-1] in "1234"
            tiles.append({"place": p["place"], "name": p["name"], "community": p["place"][:12], "street": p["place"][:9],
                          "state": "unsigned" if any(map(self.unsigned, here)) else "no_data" if dark else "attended" if here else "quiet",
                          "level": worst, "open": len(here), "to_sign": sum(map(self.unsigned, here)), "watched": p["subjects"],
                          "worker": text("网格员 07", "Worker 07"), "worker_seen": None})  # fmt: skip
        queues = [{"grid": a["place"], "worker": a["task"]["assignee_label"], "on_duty": True, "to_sign": int(self.unsigned(a)), "open": 1 + i % 4, "next": a["task"]["due"]}
                  for i, a in enumerate(self.alerts[:9])]  # fmt: skip

        def feed(
            name: str,
            zh: str,
            en: str,
            lag: float,
            missing: float | None,
            state: str = "ok",
            kind: str = "class",
        ) -> dict[str, Any]:
            return {
                "name": name,
                "label": text(zh, en),
                "kind": kind,
                "state": state,
                "lag_s": lag,
                "expected": 2_600,
                "missing": missing,
                "rows": 1_000,
                "quarantined": 0,
                "last": ago(seconds=lag),
                "spark": spark,
            }

        feeds = [feed("c", "东湾集中器", "Dongwan concentrator", 1_560, 1.0, "broken", "concentrator"), feed("e", "电表 15 分", "Electricity 15 min", 52, 0.007),
                 feed("w", "水表 1 时", "Water 1 h", 360, 0.014), feed("g", "燃气 1 日", "Gas 1 d", 10_800, 0.021), feed("v", "车辆卡口", "Vehicle gates", 4, 0.0),
                 feed("h", "12345 热线", "12345 hotline", 120, None, "ok", "events")]  # fmt: skip
        empty = not self.alerts
        return boards.Board.model_validate(
            {"clock": self.clock(), "place": self.ref("330199"), "counts": counts, "streets": 4, "communities": 24, "grids": len(self.grids), "open": len(self.alerts), "to_sign": to_sign, "overdue": over,
             "on_duty": 38, "workers": 41, "per_worker": 3.2,
             "kpis": [kpi("open", "未结预警", "Open alerts", len(self.alerts), ("较昨日同期 −6", "−6 on this time yesterday")), kpi("to_sign", "待签收", "To sign", to_sign, ("最久 11 分 08 秒", "longest 11 min 08 s")),
                      kpi("overdue", "已超时", "Overdue", over, ("橙 · 签收超 68 秒", "orange · 68 s past signing")), kpi("sign_time", "签收用时", "Time to sign", 3.8, None, p90=11.2, window_s=604_800, of=226),
                      kpi("closed_in_time", "结案率", "Closed in time", 94.2, None, target=92.0, window_s=604_800), kpi("confirmed", "查实率", "Confirmed", 41.0, None, count=118, of=288, window_s=2_592_000),
                      kpi("complete", "数据完整率", "Data complete", 99.1, None, target=90.0, window_s=3_600)],
             "tiles": tiles, "queues": [] if empty else queues, "feeds": feeds,
             "happenings": [{"at": ago(minutes=2 + 3 * i), "text": text(zh, en), "level": "blue", "place": None, "alert_id": None, "task_id": None}
                            for i, (zh, en) in enumerate([("云栖里 1 · 蓝 · 已签收", "Yunqili 1 · blue · signed"), ("南苑 2 · 黄 · 已到场", "Nanyuan 2 · yellow · at the door"), ("竹园 2 · 蓝 · 结案：表计故障", "Zhuyuan 2 · blue · closed: meter fault"), ("东湾 31 户预警合并为 1 件", "31 alerts in Dongwan joined into 1")])],
             "hours": [{"hour": stamp(NOW.replace(minute=0, second=0) - timedelta(hours=23 - i)), "red": int(i in (1, 22, 23)), "orange": int(i in (8, 22)), "yellow": i % 3, "blue": (i * 5) % 4} for i in range(24)],
             "budget_used": 0.61, "watched": 3_353, "unseen": 5, "first_run": False, "checked_at": ago(minutes=1), "cursor": self.cursor}
        ).model_dump(by_alias=True)  # fmt: skip
