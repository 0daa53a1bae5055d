# SPDX-License-Identifier: MIT
"""A bank: async views, SQLAlchemy's asyncio extension, PostgreSQL."""

import asyncio
import os

import flask
from sqlalchemy import CheckConstraint, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# One engine in each worker: its requests share a pool of connections, and none shares a session.
engine = create_async_engine(os.environ.get("DATABASE_URL", "postgresql+psycopg://localhost/bank"))
Session = async_sessionmaker(engine)

app = flask.Flask(__name__)
app.on_shutdown = [engine.dispose]


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = (CheckConstraint("balance >= 0"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[int] = mapped_column(primary_key=True)
    payer: Mapped[int]
    payee: Mapped[int]
    amount: Mapped[int]


@app.get("/accounts")
async def accounts():
    async with Session() as session:
        rows = await session.scalars(select(Account))
        return {account.id: account.balance for account in rows}


@app.get("/payments")
async def payments():
    async with Session() as session:
        return {"count": await session.scalar(select(func.count(Payment.id)))}


@app.post("/accounts/<int(max=999):payer>/pay/<int(max=999):payee>/<int(max=1000):amount>")
async def pay(payer, payee, amount):
    try:
        async with Session.begin() as session:  # commits at its end, rolls back if it fails
            session.add(Payment(payer=payer, payee=payee, amount=amount))
            # The rows are locked in one order, so that opposite payments never wait for each other.
            both = select(Account).where(Account.id.in_([payer, payee])).order_by(Account.id)
            found = {account.id: account for account in await session.scalars(both.with_for_update())}
            found[payer].balance -= amount
            found[payee].balance += amount
    except KeyError as error:
        return {"error": f"there is no account {error}"}, 404
    except IntegrityError:
        return {"error": f"account {payer} has less than {amount}"}, 409
    return {"paid": amount}, 201


@app.cli.command("init-db")
def init_db():
    """Create the tables, and three accounts, where they are missing."""

    async def create():
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            rows = [{"id": number, "balance": 1000} for number in (1, 2, 3)]
            await connection.execute(insert(Account).values(rows).on_conflict_do_nothing())
        await engine.dispose()

    asyncio.run(create())
