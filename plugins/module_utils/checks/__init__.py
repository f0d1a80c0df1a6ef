"""Checks of an account before any instance exists, at no cost: one file per check.

A check is a file ``a<two digits>_<name>.py`` in this folder; checks are reported in the order of their names. The first
line of its docstring says what it checks, ``REMEDY`` what to do if it does not pass, and ``run(context)`` returns a
``Finding``. The ``Context`` makes look-ups that several checks share once.
"""
