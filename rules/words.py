"""Words of event feeds that people see: known values of attributes, in Chinese and English.

A feed may use its own words; those are shown as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "-": ("未分类", "no topic"),
        "…": ("其他", "other topics"),
        "noise": ("噪声扰民", "noise"),
        "rubbish": ("垃圾清运", "rubbish"),
        "parking": ("停车", "parking"),
        "dispute": ("邻里纠纷", "disputes"),
        "quarrel": ("争吵", "quarrels"),
        "nuisance": ("滋扰", "nuisance"),
        "lost_property": ("遗失物品", "lost property"),
        "water_supply": ("供水", "water supply"),
        "heating": ("供暖", "heating"),
        "smell": ("异味", "smells"),
        "wages": ("欠薪", "unpaid wages"),
        "property_management": ("物业", "property management"),
        "hazmat": ("危化品车辆", "hazmat vehicles"),
        "goods": ("货车", "goods vehicles"),
        "car": ("小客车", "cars"),
        "in": ("驶入", "in"),
        "out": ("驶出", "out"),
    }
)


def word(value: str, language: str) -> str:
    """Return a feed's word as people say it; unknown ones as they are.

    >>> word("noise", "zh"), word("噪声", "en")
    ('噪声扰民', '噪声')
    """
    known = WORDS.get(value)
    return value if known is None else known[0 if language == "zh" else 1]
