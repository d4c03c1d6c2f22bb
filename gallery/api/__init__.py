from ninja import Router

from gallery.api.generations import router as generations
from gallery.api.registry import router as registry
from gallery.api.uploads import router as images

router = Router()
router.add_router("/generations", generations)
router.add_router("/images", images)
router.add_router("", registry)

__all__ = ["router"]
