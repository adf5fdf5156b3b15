"""Errors of the API, told as RFC 9457 problems in both languages."""

from __future__ import annotations

from typing import Any

from engine.console.schemas import FieldError, Problem, TaskSummary, Text

TITLES: dict[str, tuple[int, str, str]] = {
    "bad_request": (400, "请求无法读懂", "The request cannot be read"),
    "signed_out": (401, "请先登录", "Sign in first"),
    "wrong_password": (401, "用户名或密码不对", "Name or password is wrong"),
    "forbidden": (403, "这个岗位不能做这件事", "This role may not do that"),
    "csrf": (403, "页面已过期，请刷新后再试", "The page is out of date; reload it and try again"),
    "sign_first": (403, "签收后才能查看", "Sign for the task to see this"),
    "holder_only": (403, "只有持单人能查看", "Only the holder of the task may see this"),
    "no_consent": (403, "未获同意，或同意已到期", "No consent, or it has expired"),
    "not_found": (404, "没有这一项", "There is no such thing"),
    "not_allowed": (405, "此处不支持这种操作", "That cannot be done here"),
    "conflict": (409, "任务状态已变", "The task has moved on"),
    "too_large": (413, "内容太大", "It is too large"),
    "unsupported_type": (415, "不支持这种文件", "This type of file is not taken"),
    "invalid": (422, "有内容填得不对", "Something is not filled in right"),
    "refused": (422, "不能这样办理", "It cannot be done like that"),
    "key_reused": (422, "重复使用了请求编号", "The idempotency key was used for something else"),
    "locked": (429, "密码错误次数过多，请稍后再试", "Too many wrong passwords; try later"),
    "slow_down": (429, "请求太频繁，请稍后再试", "Too many requests; try later"),
    "defect": (500, "系统出错，已记录", "Something broke; it has been recorded"),
    "unavailable": (503, "暂时连不上数据库，未做任何改动", "The store cannot be reached; nothing was done"),
}  # fmt: skip


class ApiError(Exception):
    """An answer that is not the one hoped for.

    Parameters
    ----------
    code : str
        A key of :data:`TITLES`.
    detail : str
        For people who look closer: what, got, wanted.
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after_s: int | None = None,
        task: TaskSummary | None = None,
        errors: list[FieldError] | None = None,
        reference: str = "",
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status, zh, en = TITLES[code]
        self.problem = Problem(
            status=self.status,
            code=code,
            title=Text(zh=zh, en=en),
            detail=detail,
            retry_after_s=retry_after_s,
            task=task,
            errors=errors or [],
            reference=reference,
        )

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        return self.problem.model_dump(mode="json", by_alias=True)


def not_found(what: str = "") -> ApiError:
    """Return that something is not there, or not for these eyes: nobody learns which."""
    return ApiError("not_found", what)
