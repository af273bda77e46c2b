"""What an operator decides: `driftline.yaml`, the environment, and keys."""

from service.settings.documents import (
    AuthSettings,
    KeySettings,
    LimitSettings,
    ModelSettings,
    Scope,
    ServerSettings,
    Settings,
    StoreSettings,
    VersionSettings,
)
from service.settings.environment import OTHER_VARIABLES, VARIABLES
from service.settings.faults import SettingsError
from service.settings.keys import KeyRing, generate_key, hash_key, presented_key
from service.settings.load import fault_in, load_settings, settings_schema

__all__ = [
    "OTHER_VARIABLES",
    "VARIABLES",
    "AuthSettings",
    "KeyRing",
    "KeySettings",
    "LimitSettings",
    "ModelSettings",
    "Scope",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "VersionSettings",
    "fault_in",
    "generate_key",
    "hash_key",
    "load_settings",
    "presented_key",
    "settings_schema",
]
