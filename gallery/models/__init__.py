from gallery.models.generation import Generation, GenerationLora, Verdict
from gallery.models.image import Image, ImportedMetadata, PendingFile, Rating, Source, Visibility
from gallery.models.registry import DiffusionModel, Lora
from gallery.models.search import SearchDocument, SearchEntry

__all__ = [
    "DiffusionModel",
    "Generation",
    "GenerationLora",
    "Image",
    "ImportedMetadata",
    "Lora",
    "PendingFile",
    "Rating",
    "SearchDocument",
    "SearchEntry",
    "Source",
    "Verdict",
    "Visibility",
]
