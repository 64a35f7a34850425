"""Hypothesis draws the same examples in every run; HYPOTHESIS_PROFILE=thorough draws many fresh ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_CALM = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=60, suppress_health_check=_CALM)
settings.register_profile("thorough", deadline=None, max_examples=3000, suppress_health_check=_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
