"""Projects for DAWs: a song with its stems in, a folder that opens right out."""

from workstation.export.folder import check_export, export, shared_stems
from workstation.export.lay_out import lay_out, with_lead
from workstation.export.layouts import Layout
from workstation.export.project import EmptyTrack, ExportOptions, Project, SharedStems, Track
from workstation.export.target import Part, Target
from workstation.export.targets import TARGETS, find_target
from workstation.export.timeline import Timeline

__all__ = [
    "TARGETS",
    "EmptyTrack",
    "ExportOptions",
    "Layout",
    "Part",
    "Project",
    "SharedStems",
    "Target",
    "Timeline",
    "Track",
    "check_export",
    "export",
    "find_target",
    "lay_out",
    "shared_stems",
    "with_lead",
]
