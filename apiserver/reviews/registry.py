"""Every review there is, and what answers it."""

from collections.abc import Mapping

from apiserver.call import Handler
from apiserver.reviews.tokens import review_token
from cubernetes.api.authentication.tokenreview import TokenReview
from cubernetes.api.meta import Object

REVIEWERS: Mapping[type[Object], Mapping[str, Handler]] = {TokenReview: {"create": review_token}}
