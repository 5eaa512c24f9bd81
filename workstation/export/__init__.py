"""Projects for DAWs: a song with its stems in, a folder that opens right out."""

from workstation.export.folder import check_export, export, shared_stems
from workstation.export.project import ExportOptions, Project, Track
from workstation.export.target import Part, Target
from workstation.export.targets import TARGETS, find_target
from workstation.export.timeline import Timeline

__all__ = [
    "TARGETS",
    "ExportOptions",
    "Part",
    "Project",
    "Target",
    "Timeline",
    "Track",
    "check_export",
    "export",
    "find_target",
    "shared_stems",
]
