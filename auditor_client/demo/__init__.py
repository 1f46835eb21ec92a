"""`safeconduct demo`: a whole audit of a real language model on one machine, told step by step.

It runs the same commands a lab, an auditor and a regulator would run, each as its own process, and adds
nothing to them but the telling.
"""
