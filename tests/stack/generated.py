"""How generated examples are run: without a limit of time for each, which only tells how busy the machine is.

Hypothesis is loaded here, at the start: loaded when the session ends, which its plugin does where no test has asked for it, it may fail in
Python 3.11 after deep recursion in greenlets ("AST constructor recursion depth mismatch").
"""

from hypothesis import settings

settings.register_profile("refold", deadline=None)
settings.load_profile("refold")
