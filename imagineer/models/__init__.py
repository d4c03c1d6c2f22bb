from imagineer.models.accounts import ApiToken, User
from imagineer.models.events import Event, IdempotencyKey, MaintenanceRecord
from imagineer.models.workers import Cluster, FairShare

__all__ = ["ApiToken", "Cluster", "Event", "FairShare", "IdempotencyKey", "MaintenanceRecord", "User"]
