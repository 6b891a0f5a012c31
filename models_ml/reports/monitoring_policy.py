"""Whether the policy earns, in the words of rpt_policy_value; its absence is said, not hidden."""

from __future__ import annotations

from models_ml.monitoring.reading import MonitoringData
from models_ml.reports.page import Section, Text


def policy_answer(data: MonitoringData) -> tuple[str, str]:
    """Say whether the policy earns: one word, and one sentence."""
    if not data.policy_value:
        return "not known yet", "No outcome says yet what the policy earns"
    return "see below", "see below"


def policy_section(data: MonitoringData) -> Section:
    """Return what the policy earned against contacting nobody."""
    if not data.policy_value:
        text = "Outcomes of contacted and held-out customers are compared here once the first horizon has passed."
        return Section("Is the policy earning?", [Text(text)])
    return Section("Is the policy earning?", [])
