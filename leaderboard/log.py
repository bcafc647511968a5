"""Log lines of servers and workers: JSON, for whatever gathers them."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any

__all__ = ["JsonLines", "log_as_json"]


class JsonLines(logging.Formatter):
    """One JSON object a line; what is passed as `extra={"told": {...}}` stands in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Let all loggers of this process write JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
