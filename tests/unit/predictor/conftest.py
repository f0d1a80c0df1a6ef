from tests.support.predictor import *  # noqa: F403  # the fixtures
