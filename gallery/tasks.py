from gallery.models import Generation
from gallery.services.engine import is_warm
from gallery.services.estimates import learn_estimator
from gallery.services.generate import perform_generation
from gallery.services.intake import sweep_pending
from gallery.services.trash import purge_trash
from imagineer.runs import register_performer
from imagineer.sweeper import register_broom

register_performer(Generation, perform_generation, is_warm=is_warm, learn_estimator=learn_estimator)
register_broom(sweep_pending)
register_broom(purge_trash)
