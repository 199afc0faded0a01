"""The wire: what the published Connect API says, spelled as it spells it.

`scalars` holds the patterns and enumerations, `connectors` the resources of the catalogue,
`errors` every error body. Field names are the API's through `rename="camel"`; an optional field
that is not set is left out of the answer, never `null`.
"""
