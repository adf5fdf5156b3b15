"""Problems of rule files in Chinese: the English of :mod:`rules.problems`, pattern by pattern.

Checks say what is wrong once, in English; here stands what that is in Chinese. What has no pattern
(the parser's own words about YAML or CEL) stays as it is.
"""

from __future__ import annotations

import re

from rules.problems import Problem

_S = r'"([^"]*)"'
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"wanted exactly one of context, alert, when", "context、alert、when 须恰好写一个"),
    (rf'{_S} does not go with "series"', r"“\1”不能与“series”同用"),
    (rf"{_S} is not less urgent than {_S}", r"“\1”并不比“\2”更低"),
    (rf"{_S} is not more urgent than {_S}", r"“\1”并不比“\2”更高"),
    (rf"{_S} needs a budget: it says that acting pays at its price",
     r"“\1”需要预算：它表示按该预算的价格值得行动"),
    (r"add budget: (.*)", r"请加上 budget: \1"),
    (r"CEL refuses this", "CEL 不接受这一写法"),
    (r"a promotion needs after or when", "升级须写 after 或 when"),
    (rf"a second way down from {_S}", r"从“\1”降级写了两次"),
    (rf"below the rule's own level {_S}", r"低于规则自身的等级“\1”"),
    (rf"detector {_S} has no parameter {_S}", r"检测器“\1”没有参数“\2”"),
    (rf"detector {_S} watches a (\w+), this rule a (\w+)",
     r"检测器“\1”监测的是 \2，本规则的对象是 \3"),
    (r'events are chosen by "where" within series', "series 之内用“where”选择事件"),
    (r"not a condition", "不是条件"),
    (r"not a regular expression", "不是正则表达式"),
    (rf"nothing promotes to {_S}", r"没有任何升级会到“\1”"),
    (r"texts\.(\S+)\.zh has no Chinese in it", r"texts.\1.zh 中没有中文"),
    (r"the budget changes nothing: no condition asks for \.due of a signal",
     "预算不起作用：没有条件用到信号的 .due"),
    (rf"the name {_S} is taken", r"名称“\1”已被占用"),
    (r"the rule listens to nothing", "规则没有监听任何信号或事件"),
    (r"too many promotions", "升级步骤过多"),
    (rf"unknown context {_S}", r"没有情境“\1”"),
    (r"not a day", "不是日期"),
    (rf"unknown rule {_S}", r"没有规则“\1”"),
    (rf"(\S+) has no signal {_S}", r"\1 没有信号“\2”"),
    (rf"meter {_S} has no subject", r"表“\1”没有所属对象"),
    (r"meters and signals in one test", "同一测试中既有表又有信号"),
    (r"no meter of this test", "本测试没有这块表"),
    (r"not a series: (.*)", r"不是读数序列：\1"),
    (r"not a time", "不是时间"),
    (rf"rule {_S} does not run in this test", r"本测试不运行规则“\1”"),
    (r"the test gives nothing", "测试没有给出任何输入"),
    (r"unknown time zone", "没有这个时区"),
    (r"aliases make the file too large or endless", "别名使文件过大或无穷"),
    (r"not YAML: (.*)", r"不是 YAML：\1"),
    (r"the file has (\d+) characters \(at most (\d+)\)", r"文件有 \1 个字符（最多 \2 个）"),
    (r"the file is empty", "文件是空的"),
    (rf"a second rule is named {_S}", r"另有一条规则也叫“\1”"),
    (r"the rule names itself", "规则引用了自己"),
    (r"this looks like a file of tests, not of rules", "这像是测试文件，不是规则文件"),
    (rf"{_S} is an? (\w+) and has no fields", r"“\1”的类型是 \2，没有下级字段"),
    (rf"{_S} is no value", r"“\1”不是一个值"),
    (rf"unknown function {_S}", r"没有函数“\1”"),
    (rf"unknown name {_S} in {_S}", r"“\2”中没有名称“\1”"),
    (rf"unknown name {_S}", r"没有名称“\1”"),
    (rf"{_S} is missing", r"缺少“\1”"),
    (r"a key must be text", "键须为文字"),
    (r"list of wrong length", "列表长度不对"),
    (r"not a CEL expression: (.*)", r"不是 CEL 表达式：\1"),
    (r"not a duration", "不是时长"),
    (r"this name does not fit", "名称不合规范"),
    (r"this text does not fit", "文字不合规范"),
    (r"this value does not fit", "值不合要求"),
    (r"too many entries", "条目过多"),
    (r"unknown key (.*)", r"没有键 \1"),
    (r"unknown word", "没有这个词"),
    (r"(\S+) does not fit", r"\1 不合要求"),
    (r"(\S+) stands twice", r"\1 写了两次"),
    (r'"\[\[" is never closed', "“[[”没有配对的“]]”"),
    (r'"\[\[" within "\[\["', "“[[”之内又有“[[”"),
    (r'"\]\]" without "\[\["', "“]]”没有配对的“[[”"),
    (r"a test has no format", "判断不能带格式"),
    (r"a test stands outside \[\[ \]\]", "判断须写在 [[ ]] 之内"),
    (rf"format {_S} does not fit {_S}", r"格式“\1”不适用于“\2”"),
    (rf"format {_S} has (\d+) choices", r"格式“\1”有 \2 个选项"),
    (r"not a fact", "不是事实"),
    (r"the text is too long", "文字过长"),
    (rf"unknown format {_S}", r"没有格式“\1”"),
    (rf"the detector of signal {_S} gives no fact {_S}", r"信号“\1”的检测器没有事实“\2”"),
    (rf"no rule of this test watches a subject of kind {_S}", r"本测试的规则都不监测“\1”类对象"),
    (rf"it is shadowed: {_S} fires whenever it would", r"被遮蔽：凡它会预警时，“\1”都会预警"),
    (r"it can never fire: this always keeps it quiet", "永远不会预警：此项总使它静默"),
    (r"it can never fire: (.*)", r"永远不会预警：\1"),
    (r"this part is never met: (.*)", r"这一部分永远不成立：\1"),
    (r"it keeps nothing quiet: (.*)", r"它不会使任何预警静默：\1"),
    (r"it is never promoted: (.*)", r"永远不会升级：\1"),
    (r"it changes nothing: by then the level is (\w+) already", r"不起作用：那时等级已是 \1"),
    (rf"no subject is of kind {_S} \(nor of the (\d+) others\)",
     r"没有“\1”类的对象（另外 \2 类也没有）"),
    (rf"no subject is of kind {_S}", r"没有“\1”类的对象"),
    (rf"no subject has attribute {_S}", r"没有对象带有属性“\1”"),
    (rf"no subject has {_S} = (.*)", r"没有对象的“\1”为 \2"),
    (rf"no such subject is in place {_S}", r"地点“\1”之内没有这样的对象"),
    (r"it has no route: its alerts become nobody's task", "没有 route：其预警不会成为任何人的任务"),
    (rf"nobody has the role {_S}", r"没有人担任“\1”"),
    (r"nobody is called about a place", "关于地点的预警没有可打电话的人"),
    (r"hard danger never waits: this changes nothing", "重大危险从不等待：此项不起作用"),
    (rf"no table is known to have subjects of kind {_S}", r"已知的表中没有“\1”类对象"),
    (rf"detector {_S} never hears {_S}", r"检测器“\1”从不接收“\2”"),
    (rf"no meter is known to measure {_S}", r"已知的表都不计量“\1”"),
    (rf"{_S} may be applied as an event that this rule does not heed, (.*)",
     r"“\1”会以本规则不理会的事件来反证，\2"),
    (r"add (\w+) to unless", r"请在 unless 中加上 \1"),
    (r"the calls keep nobody at home: at all its levels somebody is sent at once",
     "先打电话不起作用：它的各个等级都立即派人"),
    (r"(\S+) is both a holiday and a day of work", r"\1 既是节假日又是工作日"),
    (r"(\S+) is no week-end day: people work anyway", r"\1 不是周末，本来就上班"),
    (r"a second calendar of (\S+) (\S+)", r"\1 \2 年的日历有两份"),
    (r"days out of order or of another year", "日期次序不对，或不属于这一年"),
    (r"the calendar is empty", "日历是空的"),
    # what was wanted, and what to do
    (rf"did you mean {_S}\?", r"是否想写“\1”？"),
    (r"one of its fields: (.*)", r"它的下级字段之一：\1"),
    (r"one of (.*), or alert: RULE, or a condition", r"\1 之一，或 alert: 规则名，或一个条件"),
    (r"one of them, or events alone", "其中一种，或只有事件"),
    (r"one of (.*)", r"下列之一：\1"),
    (r"nothing \(it has no facts\)", "不写（它没有事实）"),
    (r"nothing", "空"),
    (r"true or false", "true 或 false"),
    (r"a name of its own", "一个不重复的名称"),
    (r"a signal or an event", "信号或事件"),
    (r"meters, signals, events", "表、信号或事件"),
    (r"a date that exists", "真实存在的日期"),
    (r"2d6h after the start, or 2026-03-02T06:00", "开始后的时长如 2d6h，或 2026-03-02T06:00"),
    (r"at most (\d+)", r"最多 \1"),
    (r"([\d,]+) characters", r"\1 个字符"),
    (r"a mapping with (.*)", r"含 \1 的映射"),
    (r"a mapping", "映射"),
    (r"a CEL expression", "CEL 表达式"),
    (r"a name of small letters, digits and _", "由小写字母、数字和 _ 组成的名称"),
    (r"text, a number, true or false", "文字、数字、true 或 false"),
    (r"text", "文字"),
    (r"anything", "任意内容"),
    (r"first on line (\d+)", r"第一次在第 \1 行"),
    (r"the first is (\S+):(\d+)", r"第一条在 \1:\2"),
    (r"move it to (.*)", r"请移到 \1"),
    (r"\{name\} or \{name:format\}; write \{\{ for a bracket",
     "{name} 或 {name:format}；要写括号请用 {{"),
)  # fmt: skip
_KNOWN = tuple((re.compile(english), chinese) for english, chinese in _PATTERNS)


def chinese(text: str) -> str:
    """Return a message in Chinese; one that nobody translated as it is.

    >>> chinese('unknown rule "x"'), chinese("who knows")
    ('没有规则“x”', 'who knows')
    """
    within = re.fullmatch(r"(texts\.\w+\.\w+): (.*)", text, re.DOTALL)
    if within:
        return f"{within[1]}：{chinese(within[2])}"
    for pattern, words in _KNOWN:
        if found := pattern.fullmatch(text):
            return found.expand(words)
    return text


def told(problem: Problem) -> str:
    """Return a problem as ``str`` does, in Chinese."""
    about = "警告：" if problem.warning else ""
    what = {"rule": "规则", "test": "测试"}.get(problem.what, problem.what)
    about += f"{what}“{problem.rule}”：" if problem.rule else ""
    parts = [about + chinese(problem.message)]
    if problem.got:
        parts.append(f"实际为 {chinese(problem.got)}")
    if problem.wanted:
        parts.append(f"应为 {chinese(problem.wanted)}")
    if problem.hint:
        parts.append(chinese(problem.hint))
    return f"{problem.file}:{problem.line}:{problem.column}: " + "；".join(parts)
