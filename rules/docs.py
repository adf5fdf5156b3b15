"""A page of documentation per rule, made from the rule: it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rules import texts
from rules.model import COUNTERFACTUALS, EventUse, Limits, Rule, RuleSet, Series, Text, Unless

_WORDS: Mapping[str, tuple[str, str]] = {
    "whom": ("对象", "Whom it watches"),
    "listens": ("依据", "What it listens to"),
    "when": ("触发条件", "When it fires"),
    "quiet": ("不触发的情形", "What keeps it quiet"),
    "levels": ("级别", "Levels"),
    "budget": ("误报预算", "Budget"),
    "people": ("派给谁", "Who is sent"),
    "sentences": ("文字", "Sentences"),
    "place": ("片区", "communities"),
    "any": ("所有类型", "subjects of any kind"),
    "raised": ("触发", "raised"),
    "resolved": ("解除", "resolved"),
    "cancelled": ("撤销", "cancelled"),
    "version": ("版本", "Version"),
    "rule": ("规则", "Rule"),
    "nobody": ("不派人。", "Nobody is sent."),
    "shadow": ("影子模式：只记录，不派人。", "Shadow mode: recorded, nobody is sent."),
    "hard": ("生命安全：不受队列每日容量限制。", "Life safety: never held back by a queue's capacity."),
    "sign": ("签收", "sign"),
    "contact": ("联系到人", "contact"),
    "door": ("到场", "door"),
    "report": ("回报", "report"),
    "close": ("办结", "close"),
    "calendar": ("自然时间", "calendar hours"),
    "work": ("工作时间", "working hours"),
    "fleet": ("全体共用", "shared by all"),
    "subject": ("各自单独", "for each by itself"),
    "index": ("规则一览", "Rules"),
    "after": ("之后", "after"),
    "level": ("级别", "level"),
    "title": ("名称", "title"),
}  # fmt: skip
_CONTEXTS: Mapping[str, tuple[str, str]] = {
    "absent": ("已登记外出", "a registered absence"),
    "area_outage": ("片区停电", "a power cut in the area"),
    "dead_concentrator": ("集中器失联", "a dead concentrator"),
    "maintenance": ("计划检修", "announced maintenance"),
    "approved_work": ("经批准的作业", "approved work"),
    "holiday": ("节假日", "a public holiday"),
}
_COUNTERFACTUALS_ZH: Mapping[str, str] = {
    "sign_of_life": "预警前有一次超过该户门槛的用量",
    "usual_use": "这段时间的用量有停顿或与平时相当；累计表则为覆盖这段时间的计划检修",
    "standby": "有覆盖这段时间、功率留有余量的经批准试车",
    "permit": "有覆盖这段时间的许可或经批准的试车",
    "reports": "有覆盖这段时间的计划检修",
    "fewer_events": "所计的事件均已撤回",
    "absence": "有覆盖这段时间的外出登记",
    "registration": "这段时间开始时已有租住变动登记",
    "none": "无法列举",
}


def page(rule: Rule, lang: str) -> str:
    """Return the Markdown page of a rule in ``zh`` or ``en``."""
    return _Page(rule, lang).write()


def pages(rules: RuleSet) -> dict[str, str]:
    """Return file name → Markdown of all pages: a folder per language, with an index."""
    found: dict[str, str] = {}
    for lang in ("zh", "en"):
        found[f"{lang}/README.md"] = index(rules, lang)
        found |= {f"{lang}/{rule.name}.md": page(rule, lang) for rule in rules}
    return found


def index(rules: RuleSet, lang: str) -> str:
    """Return a Markdown table of all rules, linking to their pages."""
    w = 0 if lang == "zh" else 1
    lines = [
        f"# {_WORDS['index'][w]}",
        "",
        f"| {_WORDS['rule'][w]} | {_WORDS['title'][w]} | {_WORDS['level'][w]} |",
        "|---|---|---|",
    ]
    lines += [
        f"| [{rule.name}]({rule.name}.md) | {_say(rule.title, lang)} | {_level(rule.level, lang)} |"
        for rule in rules
    ]
    return "\n".join(lines) + "\n"


def _say(text: Text, lang: str) -> str:
    return text.zh if lang == "zh" else text.en


_AT = {
    "address": ("地址", "address"),
    "place": ("地点", "place"),
    "grid": ("网格", "grid"),
    "community": ("社区", "community"),
}


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _level(level: str, lang: str) -> str:
    return texts.render("{l:level}", lang, {"l": str(level)})


def _span(seconds: int, lang: str) -> str:
    return texts.render("{s:duration}", lang, {"s": seconds})


class _Page:
    def __init__(self, rule: Rule, lang: str) -> None:
        self.rule = rule
        self.lang = lang
        self.zh = lang == "zh"

    def word(self, key: str) -> str:
        return _WORDS[key][0 if self.zh else 1]

    def either(self, zh: str, en: str) -> str:
        return zh if self.zh else en

    def span(self, seconds: int) -> str:
        return _span(seconds, self.lang)

    def write(self) -> str:
        rule = self.rule
        parts = [
            f"# {_say(rule.title, self.lang)}",
            f"`{rule.name}` · {self.word('version')} `{rule.version}`",
        ]
        if rule.description:
            parts.append(_say(rule.description, self.lang))
        sections: list[tuple[str, Iterable[str]]] = [
            ("whom", self.whom()),
            ("listens", self.listens()),
            ("when", self.when()),
            ("quiet", self.quiet()),
            ("levels", self.levels()),
            ("budget", self.budget()),
            ("people", self.people()),
            ("sentences", self.sentences()),
        ]
        for key, lines in sections:
            body = "\n".join(f"- {line}" for line in lines)
            if body:
                parts.append(f"## {self.word(key)}\n\n{body}")
        return "\n\n".join(parts) + "\n"

    def whom(self) -> Iterable[str]:
        subjects = self.rule.subjects
        if subjects.grain == "place":
            yield self.word("place")
        elif subjects.series is not None:
            yield self.series(subjects.series)
        else:
            yield ", ".join(f"`{kind}`" for kind in subjects.kinds) or self.word("any")
        for name, allowed in sorted(subjects.attrs.items()):
            yield f"`{name}`: {', '.join(f'`{value}`' for value in allowed)}"
        if subjects.place_prefixes:
            yield ", ".join(f"`{prefix}…`" for prefix in subjects.place_prefixes)

    def series(self, series: Series) -> str:
        kinds = ", ".join(f"`{kind}`" for kind in series.kinds)
        at = _AT[series.at][0 if self.zh else 1]
        text = self.either(f"按{at}统计的{kinds}事件", f"{kinds} events, counted per {at}")
        if series.by is not None:
            text += self.either(f"，每种 `{series.by}` 单独计", f" and `{series.by}`")
        for name, allowed in sorted(series.where.items()):
            text += f", `{name}` = {' | '.join(map(_shown, allowed))}"
        return text

    def listens(self) -> Iterable[str]:
        for name, use in self.rule.signals.items():
            params = ", ".join(f"{k} = {v:g}" for k, v in sorted(use.params.items()))
            notes = [f"`{use.detector}`", *([params] if params else []), *use.utilities]
            yield f"`{name}`: {', '.join(notes)}"
        for name, event in self.rule.events.items():
            yield f"`{name}`: {self.events(event)}"

    def events(self, event: EventUse) -> str:
        kinds = ", ".join(f"`{kind}`" for kind in event.kinds)
        text = self.either(
            f"{self.span(event.within_s)}内的{kinds}", f"{kinds} within {self.span(event.within_s)}"
        )
        for name, allowed in sorted(event.where.items()):
            text += f", `{name}` = {' | '.join(map(str, allowed))}"
        if event.then is not None:
            follow = ", ".join(f"`{kind}`" for kind in event.then.kinds)
            span = self.span(event.then.within_s)
            text += self.either(
                f"，其后{span}内是否有{follow}", f", and whether {follow} follows within {span}"
            )
        return text

    def when(self) -> Iterable[str]:
        rule = self.rule
        yield f"`{rule.when}`"
        if rule.for_s:
            span = self.span(rule.for_s)
            yield self.either(f"持续{span}", f"for {span}")
        if rule.hold != rule.when:
            yield self.either(
                f"触发后，只要不违反 `{rule.hold}` 就持续",
                f"then goes on while not false: `{rule.hold}`",
            )
        if rule.keep_firing_for_s:
            span = self.span(rule.keep_firing_for_s)
            yield self.either(
                f"条件不再满足{span}后解除", f"ends when that has been over for {span}"
            )

    def quiet(self) -> Iterable[str]:
        for unless in self.rule.unless:
            text = self.unless(unless)
            if unless.cancels:
                text += self.either("（已触发的也撤销）", " (also takes back what was raised)")
            yield text
        what = COUNTERFACTUALS[self.rule.counterfactual]
        zh = _COUNTERFACTUALS_ZH[self.rule.counterfactual]
        yield self.either(f"反事实：{zh}", f"counterfactual: {what}")

    def unless(self, unless: Unless) -> str:
        if unless.context is not None:
            return _CONTEXTS[unless.context][0 if self.zh else 1]
        if unless.alert is not None:
            return self.either(f"已有预警 `{unless.alert}`", f"the alert `{unless.alert}` is out")
        return f"`{unless.when}`"

    def levels(self) -> Iterable[str]:
        rule = self.rule
        yield _level(rule.level, self.lang)
        for step in rule.promotions:
            how = [self.span(step.after_s) + self.either("后", "")] if step.after_s else []
            how += [f"`{step.when}`"] if step.when else []
            prefix = self.either("", "after " if step.after_s else "when ")
            yield f"→ {_level(step.to, self.lang)}: {prefix}{self.either('，且', ', and ').join(how)}"
        for back in rule.downgrades:
            span = self.span(back.after_s)
            levels = f"{_level(back.from_, self.lang)} → {_level(back.to, self.lang)}"
            yield self.either(
                f"{levels}：{span}内不再有依据", f"{levels}: nothing has warranted it for {span}"
            )

    def budget(self) -> Iterable[str]:
        if self.rule.budget is not None:
            number = f"{self.rule.budget.false_alerts_per_subject_year:g}"
            scope = self.word(self.rule.budget.scope)
            yield self.either(
                f"每个对象每年至多 {number} 次误报（{scope}）",
                f"at most {number} false alerts per subject and year ({scope})",
            )

    def people(self) -> Iterable[str]:
        rule = self.rule
        if rule.shadow:
            yield self.word("shadow")
        if rule.route is None:
            yield self.word("nobody")
            return
        yield f"`{rule.route.queue}`"
        if rule.route.contact_first:
            steps = " → ".join(
                f"`{c.who}` ({self.span(c.wait_s)})" for c in rule.route.contact_first
            )
            yield self.either(
                f"先打电话：{steps}；答复平安即撤单，都联系不上才派人",
                f'calls first: {steps}; "all is well" cancels the task, '
                "and somebody is sent when nobody could be reached",
            )
            if rule.route.send_at_once:
                levels = self.either("、", ", ").join(
                    _level(level, self.lang) for level in rule.route.send_at_once
                )
                yield self.either(
                    f"{levels}：边打电话边派人",
                    f"{levels}: somebody is sent while the calls are made",
                )
        if rule.route.escalate:
            steps = " → ".join(f"`{e.to}` ({self.span(e.after_s)})" for e in rule.route.escalate)
            yield self.either(f"无人签收时升级：{steps}", f"unsigned, it goes to: {steps}")
        yield from self.limits("", rule.limits)
        for level, limits in rule.limits_by_level.items():
            yield from self.limits(f"{_level(level, self.lang)}: ", limits)
        if rule.hard_danger:
            yield self.word("hard")

    def limits(self, prefix: str, limits: Limits) -> Iterable[str]:
        named = {
            "sign": limits.sign_s,
            "contact": limits.contact_s,
            "door": limits.door_s,
            "report": limits.report_s,
            "close": limits.close_s,
        }
        shown = [f"{self.word(key)} {self.span(value)}" for key, value in named.items() if value]
        if shown:
            yield f"{prefix}{', '.join(shown)} ({self.word(limits.clock)})"

    def sentences(self) -> Iterable[str]:
        for key in ("raised", "resolved", "cancelled"):
            yield f"{self.word(key)}: {_say(getattr(self.rule.texts, key), self.lang)}"
