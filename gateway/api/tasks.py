"""Tasks: what a machine cannot decide."""

from __future__ import annotations

from gateway.api.lists import cursor_of, cursor_position, page
from gateway.api.operation import Ask, operation
from gateway.api.owned import need_id
from gateway.engine.model import Json
from gateway.engine.problems import Problem
from gateway.engine.replies import Reply
from gateway.engine.tasks import Tasks, Word
from gateway.engine.views import task_view
from gateway.store import listings
from schemas.tasks import Resolution, Task, TaskList, TaskQuery


@operation("GET", "…/tasks", query=TaskQuery, returns={200: TaskList}, scopes=("task:read",))
def list_tasks(ask: Ask) -> Json:
    """Tasks, newest first."""
    query, limit = ask.query, ask.query["limit"]
    asked = {"status": query.get("status", ""), "subject": query.get("subject", "")}
    found = _find(ask, {**asked, "id": "", "after": cursor_position(query, "tsk_"), "limit": limit + 1})
    return page(found, limit, lambda item: cursor_of(item["id"]))


@operation("GET", "…/tasks/<task_id>", returns={200: Task}, scopes=("task:read",))
def read_task(ask: Ask) -> Json:
    """One task."""
    return _need(ask)


@operation(
    "POST",
    "…/tasks/<task_id>/resolve",
    body=Resolution,
    returns={200: Task, 202: Task},
    scopes=("task:write",),
    idempotent=True,
    problems=("invalid-state", "storage-full"),
)
def resolve_task(ask: Ask) -> Reply:
    """Say what became of it, and on what evidence; the checkout goes on from there.

    202 if the amount is above what the merchant lets one person decide: a second person, under another key, has to say
    the same. What was said is in `words`, what took effect in `resolution`.
    """
    _need(ask)
    word = Word(ask.body["outcome"], ask.body["evidence"], f"key {ask.key.id} {ask.key.name}".strip())
    return Tasks(ask.parts.engine).resolve(ask.change, ask.ids["task_id"], word)


def _need(ask: Ask) -> Json:
    """The task, of a store that the key sees. Raises ``not-found``."""
    need_id(ask.ids["task_id"], "task")
    found = _find(ask, {"id": ask.ids["task_id"], "status": "", "subject": "", "after": "", "limit": 1})
    if not found:
        raise Problem("not-found", "no such task")
    return found[0]


def _find(ask: Ask, asked: Json) -> list[Json]:
    row = {"merchant": ask.merchant_id, **asked}
    return [task_view(found) for found in ask.parts.database.read(lambda tx: listings.tasks(tx, row, ask.key.stores))]
