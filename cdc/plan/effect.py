"""What changing an option of a running connector does, so that nobody changes the form of the records by accident."""

from __future__ import annotations

import re

from cdc.plan.step import Effect

_VALUES = re.compile(
    r"(decimal|time|interval|binary|hstore|geometry)\.(handling|precision)\.mode|money\.fraction\.digits|include\.unknown\.datatypes"
    r"|unavailable\.value\.placeholder|(key|value|header)\.converter.*|transforms.*|predicates.*|message\.key\.columns|column\..*"
    r"|datatype\.propagate\.source\.type|converters|post\.processors|field\.name\.adjustment\.mode|schema\.name\.adjustment\.mode"
    r"|tombstones\.on\.delete|skipped\.operations|event\.converting\.failure\.handling\.mode"
)
_IDENTITY = re.compile(
    r"topic\.prefix|slot\.name|publication\.name|database\.dbname|plugin\.name|connector\.class|topic\.delimiter"
)
_OFFSETS = re.compile(r"snapshot\.(mode|include\.collection\.list|select\.statement\.overrides.*)")
_REASONS: dict[Effect, str] = {
    "": "",
    "restart": "restarts the task",
    "values": "records are written differently from here on: what reads the older ones must know both",
    "identity": "it would read or write elsewhere, and its offsets mean nothing there",
    "offsets": "restarts the task, and means nothing until the offsets are reset",
}


def find_effect(option: str) -> tuple[Effect, str]:
    """Give the effect of changing *option*, and the sentence that says so."""
    effect: Effect = "restart"
    if _IDENTITY.fullmatch(option):
        effect = "identity"
    elif _VALUES.fullmatch(option):
        effect = "values"
    elif _OFFSETS.fullmatch(option):
        effect = "offsets"
    return effect, _REASONS[effect]
