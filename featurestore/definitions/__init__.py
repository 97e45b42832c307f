"""Definitions of features: event sources, feature views, feature services, and the registry of all. Pure."""

from featurestore.definitions.errors import DefinitionError
from featurestore.definitions.fields import Id, Label, Money, Personal, unit
from featurestore.definitions.purpose import LawfulBasis, Purpose
from featurestore.definitions.registry import Problem, Registry
from featurestore.definitions.service import FeatureService
from featurestore.definitions.source import Event, EventSource, InvalidEvent
from featurestore.definitions.view import Feature, FeatureView

__all__ = [
    "DefinitionError",
    "Event",
    "EventSource",
    "Feature",
    "FeatureService",
    "FeatureView",
    "Id",
    "InvalidEvent",
    "Label",
    "LawfulBasis",
    "Money",
    "Personal",
    "Problem",
    "Purpose",
    "Registry",
    "unit",
]
