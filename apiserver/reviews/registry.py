"""Every review there is, and what answers it."""

from collections.abc import Mapping

from apiserver.call import Handler
from apiserver.reviews.access import review_access, review_own_access, review_own_rules
from apiserver.reviews.own import review_self
from apiserver.reviews.tokens import review_token
from cubernetes.api.authentication.selfsubjectreview import SelfSubjectReview
from cubernetes.api.authentication.tokenreview import TokenReview
from cubernetes.api.authorization.reviews import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
)
from cubernetes.api.meta import Object

REVIEWERS: Mapping[type[Object], Mapping[str, Handler]] = {
    TokenReview: {"create": review_token},
    SubjectAccessReview: {"create": review_access},
    LocalSubjectAccessReview: {"create": review_access},
    SelfSubjectAccessReview: {"create": review_own_access},
    SelfSubjectReview: {"create": review_self},
    SelfSubjectRulesReview: {"create": review_own_rules},
}
# What everybody who is known may ask: it is about himself.
OWN: frozenset[type[Object]] = frozenset(
    {SelfSubjectReview, SelfSubjectAccessReview, SelfSubjectRulesReview}
)
