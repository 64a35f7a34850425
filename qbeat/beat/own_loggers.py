"""Keeps an app's logging configuration from silencing qbeat by mistake."""

from __future__ import annotations

import logging


def hear_own_loggers() -> None:
    """Enable qbeat's loggers again.

    ``dictConfig`` and ``fileConfig`` disable, unless told otherwise, every logger that was there before and that
    they do not name: nobody means qbeat's with that. Levels and handlers are left as they are.
    """
    for name, logger in [*logging.root.manager.loggerDict.items()]:
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "qbeat":
            logger.disabled = False
