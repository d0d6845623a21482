"""What customers are told, and how it reaches them.

`facts` reads what happened, `rendering` puts it into words in the customer's `language`,
`message` makes the e-mail, `smtp` or `folder` delivers it; `route` is the way through all of them,
and `edits` what an operator can set right.
"""
