"""Tasks: what a machine cannot decide."""

from __future__ import annotations

from gateway.api.lists import cursor_of, cursor_position, page
from gateway.api.operation import Ask, operation
from gateway.api.owned import need_id
from gateway.engine.model import Json
from gateway.engine.problems import Problem
from gateway.engine.views import moment
from gateway.store import listings
from gateway.store.port import Row
from schemas.tasks import Task, TaskList, TaskQuery


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
    need_id(ask.ids["task_id"], "task")
    found = _find(ask, {"id": ask.ids["task_id"], "status": "", "subject": "", "after": "", "limit": 1})
    if not found:
        raise Problem("not-found", "no such task")
    return found[0]


def _find(ask: Ask, asked: Json) -> list[Json]:
    row = {"merchant": ask.merchant_id, **asked}
    return [_view(found) for found in ask.parts.database.read(lambda tx: listings.tasks(tx, row, ask.key.stores))]


def _view(row: Row) -> Json:
    names = ("id", "merchant", "subject", "leg", "kind", "status", "owner", "detail", "resolution")
    return {
        **{name: row[name] for name in names},
        "opened_at": moment(row["opened"]),
        "deadline": moment(row["deadline"]),
        "resolved_at": moment(row["resolved"]) if row["resolved"] else None,
    }
