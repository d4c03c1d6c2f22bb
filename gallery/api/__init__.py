from ninja import Router

from gallery.api.generations import router as generations
from gallery.api.images import router as images
from gallery.api.registry import router as registry

router = Router()
router.add_router("/generations", generations)
router.add_router("/images", images)
router.add_router("", registry)

__all__ = ["router"]
