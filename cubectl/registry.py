"""Every verb there is, in the order in which `cubectl --help` tells them.

A verb is loaded when it is asked for: each needs libraries that the others do not.
"""

from collections.abc import Callable
from typing import NamedTuple

from cubectl.verb import Verb


class Entry(NamedTuple):
    """A verb's name and summary, and what loads the rest of it."""

    name: str
    summary: str
    loaded: Callable[[], Verb]

    @property
    def is_shown(self) -> bool:
        """Whether people call it: `__complete` is for shells."""
        return not self.name.startswith("_")


def _get() -> Verb:
    from cubectl.verbs import get

    return get.VERB


def _describe() -> Verb:
    from cubectl.verbs import describe

    return describe.VERB


def _apply() -> Verb:
    from cubectl.verbs import apply

    return apply.VERB


def _create() -> Verb:
    from cubectl.verbs import create

    return create.VERB


def _replace() -> Verb:
    from cubectl.verbs import replace

    return replace.VERB


def _delete() -> Verb:
    from cubectl.verbs import delete

    return delete.VERB


def _gpusite() -> Verb:
    from cubectl.verbs.changing import gpusite

    return gpusite.VERB


def _logs() -> Verb:
    from cubectl.verbs.reaching import logs

    return logs.VERB


def _exec() -> Verb:
    from cubectl.verbs import execute

    return execute.VERB


def _attach() -> Verb:
    from cubectl.verbs.reaching import attach

    return attach.VERB


def _debug() -> Verb:
    from cubectl.verbs.reaching import debug

    return debug.VERB


def _port_forward() -> Verb:
    from cubectl.verbs.reaching import portforward

    return portforward.VERB


def _proxy() -> Verb:
    from cubectl.verbs.reaching import proxy

    return proxy.VERB


def _scale() -> Verb:
    from cubectl.verbs import scale

    return scale.VERB


def _autoscale() -> Verb:
    from cubectl.verbs.changing import autoscale

    return autoscale.VERB


def _rollout() -> Verb:
    from cubectl.verbs import rollout

    return rollout.VERB


def _set() -> Verb:
    from cubectl.verbs import setting

    return setting.VERB


def _cordon() -> Verb:
    from cubectl.verbs.nodes import cordon

    return cordon.CORDON


def _uncordon() -> Verb:
    from cubectl.verbs.nodes import cordon

    return cordon.UNCORDON


def _drain() -> Verb:
    from cubectl.verbs.nodes import drain

    return drain.VERB


def _run() -> Verb:
    from cubectl.verbs.changing import run

    return run.VERB


def _explain() -> Verb:
    from cubectl.verbs.about import explain

    return explain.VERB


def _taint() -> Verb:
    from cubectl.verbs.nodes import taint

    return taint.VERB


def _config() -> Verb:
    from cubectl.verbs.about import config

    return config.VERB


def _diff() -> Verb:
    from cubectl.verbs.about import diff

    return diff.VERB


def _why() -> Verb:
    from cubectl.verbs.nodes import why

    return why.VERB


def _post_mortem() -> Verb:
    from cubectl.verbs.about import postmortem

    return postmortem.VERB


def _auth() -> Verb:
    from cubectl.verbs.about import auth

    return auth.VERB


def _wait() -> Verb:
    from cubectl.verbs import wait

    return wait.VERB


def _label() -> Verb:
    from cubectl.verbs import label

    return label.LABEL


def _annotate() -> Verb:
    from cubectl.verbs import label

    return label.ANNOTATE


def _top() -> Verb:
    from cubectl.verbs import top

    return top.VERB


def _version() -> Verb:
    from cubectl.verbs import version

    return version.VERB


def _gateway() -> Verb:
    from cubectl.roads import gateway

    return gateway.VERB


def _function() -> Verb:
    from cubectl.functions import function

    return function.VERB


def _workflow() -> Verb:
    from cubectl.functions import workflow

    return workflow.VERB


def _serverless() -> Verb:
    from cubectl.functions import serverless

    return serverless.VERB


def _cp() -> Verb:
    from cubectl.verbs.reaching import cp

    return cp.VERB


def _patch() -> Verb:
    from cubectl.verbs.changing import patch

    return patch.VERB


def _edit() -> Verb:
    from cubectl.verbs.changing import edit

    return edit.VERB


def _expose() -> Verb:
    from cubectl.verbs.changing import expose

    return expose.VERB


def _cancel() -> Verb:
    from cubectl.verbs.changing import cancel

    return cancel.VERB


def _events() -> Verb:
    from cubectl.verbs.about import events

    return events.VERB


def _api_resources() -> Verb:
    from cubectl.verbs.about import resources

    return resources.RESOURCES


def _api_versions() -> Verb:
    from cubectl.verbs.about import resources

    return resources.VERSIONS


def _cluster_info() -> Verb:
    from cubectl.verbs.about import clusterinfo

    return clusterinfo.VERB


def _completion() -> Verb:
    from cubectl.completion import shells

    return shells.COMPLETION


def _plugin() -> Verb:
    from cubectl.completion import shells

    return shells.PLUGIN


def _complete() -> Verb:
    from cubectl.completion import shells

    return shells.complete({one.name: one.loaded for one in VERBS if one.is_shown})


VERBS: tuple[Entry, ...] = (
    Entry("get", "show objects", _get),
    Entry("describe", "tell everything about objects", _describe),
    Entry("apply", "make the cluster hold what files say", _apply),
    Entry("diff", "tell what apply would change", _diff),
    Entry("create", "make new objects from files", _create),
    Entry("patch", "change fields of objects", _patch),
    Entry("edit", "change objects in an editor", _edit),
    Entry("run", "make a pod of one container", _run),
    Entry("expose", "make a service for the pods of something", _expose),
    Entry("replace", "put what files say in the place of objects", _replace),
    Entry("delete", "delete objects", _delete),
    Entry("cancel", "end GPU jobs, and keep them", _cancel),
    Entry("gpusite", "put what runs GPU jobs at a site of Slurm", _gpusite),
    Entry("logs", "print what a container has said", _logs),
    Entry("exec", "run a command in a container", _exec),
    Entry("attach", "our console at a program that runs", _attach),
    Entry("debug", "look into a pod, a copy of it, or a node", _debug),
    Entry("cp", "copy files from a container and to one", _cp),
    Entry("port-forward", "lead ports of this machine to a pod's", _port_forward),
    Entry("proxy", "serve the API on a port of this machine", _proxy),
    Entry("scale", "change how many replicas there are", _scale),
    Entry("autoscale", "let replicas follow what pods use", _autoscale),
    Entry("rollout", "follow, undo, pause and restart rollouts", _rollout),
    Entry("set", "change images, variables and resources", _set),
    Entry("cordon", "let a node take no new pods", _cordon),
    Entry("uncordon", "let a node take new pods", _uncordon),
    Entry("taint", "keep pods away from nodes, and take that back", _taint),
    Entry("drain", "make a node empty, as far as budgets allow", _drain),
    Entry("why", "tell what each node says to a pod, and what would be", _why),
    Entry(
        "post-mortem",
        "tell how a pod's containers ended, with the last of their logs",
        _post_mortem,
    ),
    Entry("auth", "tell who this client is, and what it may do", _auth),
    Entry("wait", "return when objects are as asked", _wait),
    Entry("gateway", "show roads, take pods out of them and back, export them", _gateway),
    Entry("function", "deploy, call and list functions, and read their logs", _function),
    Entry("workflow", "begin, show, cancel, resume and signal runs of workflows", _workflow),
    Entry("serverless", "show functions and runs of workflows in a browser", _serverless),
    Entry("label", "set labels", _label),
    Entry("annotate", "set annotations", _annotate),
    Entry("top", "tell what nodes and pods use", _top),
    Entry("events", "tell what happened", _events),
    Entry("explain", "tell what the fields of a kind are", _explain),
    Entry("api-resources", "tell the kinds that the cluster has", _api_resources),
    Entry("api-versions", "tell the versions of its groups", _api_versions),
    Entry("cluster-info", "tell where it is; dump: all that there is", _cluster_info),
    Entry("config", "tell and change what the kubeconfig says", _config),
    Entry("completion", "let a shell complete command lines: bash, zsh, fish", _completion),
    Entry("plugin", "tell the programs on PATH that are verbs", _plugin),
    Entry("__complete", "what shells ask", _complete),
    Entry("version", "tell the versions of client and server", _version),
)
