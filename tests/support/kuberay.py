"""The fields of KubeRay's resources that the manifests use, with their types; a field that is not here is an error.

By the types of KubeRay 1.7. Pod templates are Kubernetes's own and are left to its schemas.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StrictInt, StrictStr

Strings = dict[StrictStr, StrictStr]


class _Resource(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Metadata(_Resource):
    """The names of a resource."""

    name: StrictStr
    namespace: StrictStr
    labels: Strings = Field(default_factory=dict)


class AuthOptions(_Resource):
    """Who may talk to the cluster."""

    mode: Literal["disabled", "token"]


class HeadGroup(_Resource):
    """The head."""

    rayStartParams: Strings  # noqa: N815 - the names are KubeRay's
    template: dict[str, Any]


class WorkerGroup(HeadGroup):
    """Workers that are alike."""

    groupName: StrictStr  # noqa: N815
    replicas: StrictInt
    minReplicas: StrictInt  # noqa: N815
    maxReplicas: PositiveInt  # noqa: N815


class RayClusterSpec(_Resource):
    """A cluster."""

    rayVersion: StrictStr  # noqa: N815
    authOptions: AuthOptions  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: list[WorkerGroup]  # noqa: N815


class RayCluster(_Resource):
    """The nodes that a job runs on."""

    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayCluster"]
    metadata: Metadata
    spec: RayClusterSpec


class RayJobSpec(_Resource):
    """A job on a cluster that is there."""

    clusterSelector: Strings  # noqa: N815
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]  # noqa: N815
    entrypoint: StrictStr


class RayJob(_Resource):
    """What is run on a cluster."""

    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


KINDS: dict[str, type[_Resource]] = {"RayCluster": RayCluster, "RayJob": RayJob}
