from gallery.models.generation import Generation, GenerationLora, Verdict
from gallery.models.image import Image, ImportedMetadata, PendingFile, Rating, Source, Visibility
from gallery.models.registry import DiffusionModel, Lora

__all__ = [
    "DiffusionModel",
    "Generation",
    "GenerationLora",
    "Image",
    "ImportedMetadata",
    "Lora",
    "PendingFile",
    "Rating",
    "Source",
    "Verdict",
    "Visibility",
]
