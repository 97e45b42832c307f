"""Feature service: the views that one kind of conversation needs. Pure."""

from collections.abc import Sequence
from typing import Any

from featurestore.definitions.errors import DefinitionError, caller_line
from featurestore.definitions.view import NAME, Feature, FeatureView


class FeatureService:
    """Views grouped for a chat engine's conversation, with the purpose that its callers name as a rule."""

    def __init__(
        self, name: str, views: Sequence[FeatureView], *, purpose: str, owner: str = "", description: str = ""
    ):
        self.defined_at = caller_line()
        self.name, self.views, self.purpose = name, tuple(views), purpose
        self.owner, self.description = owner, description
        if not NAME.fullmatch(name) or not views:
            raise DefinitionError(f"service {name}: give it a lower-case name and at least one view", self.defined_at)
        if len({view.name for view in views}) != len(views):
            raise DefinitionError(f"service {name}: a view is listed twice", self.defined_at)
        if not any(purpose in view.purposes for view in views):
            raise DefinitionError(f"service {name}: none of its views serves the purpose {purpose}", self.defined_at)

    @property
    def features(self) -> list[tuple[FeatureView, Feature]]:
        """Every feature of the service, with its view."""
        return [(view, feature) for view in self.views for feature in view.features]

    @property
    def sources(self) -> list[str]:
        """The names of the sources behind the service's views."""
        return sorted({view.source.name for view in self.views})

    def defaults(self) -> dict[str, Any]:
        """Each feature's value when nothing is known or allowed."""
        return {feature.name: feature.default for _, feature in self.features}
