"""Attribution: what a portfolio earned more than its benchmark, and by which decisions.

`brinson` splits one period by segment into allocation, selection and interaction; `linking` adds the effects of
several periods up to the active return of the whole. To add a model, write it beside Brinson's and give it Effects.
"""
