"""What can be checked of an account before any instance exists, and at no cost: one file a check.

A check is a file ``a<two digits>_<name>.py`` in this folder: found by being there, run in the order of its name. Its
docstring's first line says what it looks at, ``REMEDY`` what to do when it does not pass, and ``run(context)`` returns
a ``Finding``. What several checks look at is looked up once, by the ``Context``.
"""
