"""Run by Alembic, on the connection that `schema.upgrade` opened."""

from alembic import context

from entrepot.migrations.schema import complete_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=complete_metadata(),
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
