"""The defects: parts of the chat API that stand in for healthy ones. Nothing outside knows of them.

``parts.build`` and ``application.create`` ask here once for each part; without a defect they get back what
they gave.
"""
