from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Subscribe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Unsubscribe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateAccount(_message.Message):
    __slots__ = ("name", "password")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    name: str
    password: str
    def __init__(self, name: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class LogIn(_message.Message):
    __slots__ = ("account", "password")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    account: str
    password: str
    def __init__(self, account: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class LogOut(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAccounts(_message.Message):
    __slots__ = ("pattern", "after", "limit")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    after: str
    limit: int
    def __init__(self, pattern: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("to", "text", "request_id")
    TO_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    to: str
    text: str
    request_id: str
    def __init__(self, to: _Optional[str] = ..., text: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Unread(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: int
    limit: int
    def __init__(self, after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class Acknowledge(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class DeleteMessages(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class DeleteAccount(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Deposit(_message.Message):
    __slots__ = ("amount", "account", "request_id")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    amount: int
    account: str
    request_id: str
    def __init__(self, amount: _Optional[int] = ..., account: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Withdraw(_message.Message):
    __slots__ = ("amount", "account", "request_id")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    amount: int
    account: str
    request_id: str
    def __init__(self, amount: _Optional[int] = ..., account: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ViewBalance(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: str
    def __init__(self, account: _Optional[str] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("room",)
    ROOM_FIELD_NUMBER: _ClassVar[int]
    room: str
    def __init__(self, room: _Optional[str] = ...) -> None: ...

class Say(_message.Message):
    __slots__ = ("text", "request_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    request_id: str
    def __init__(self, text: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Account(_message.Message):
    __slots__ = ("id", "name", "unread", "acknowledged")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    unread: int
    acknowledged: int
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., unread: _Optional[int] = ..., acknowledged: _Optional[int] = ...) -> None: ...

class Accounts(_message.Message):
    __slots__ = ("names", "next")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    next: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., next: _Optional[str] = ...) -> None: ...

class Sent(_message.Message):
    __slots__ = ("number", "delivered")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    number: int
    delivered: bool
    def __init__(self, number: _Optional[int] = ..., delivered: bool = ...) -> None: ...

class Mail(_message.Message):
    __slots__ = ("messages", "more")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Arrived]
    more: bool
    def __init__(self, messages: _Optional[_Iterable[_Union[Arrived, _Mapping]]] = ..., more: bool = ...) -> None: ...

class Deleted(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("paid_out",)
    PAID_OUT_FIELD_NUMBER: _ClassVar[int]
    paid_out: int
    def __init__(self, paid_out: _Optional[int] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("amount",)
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    amount: int
    def __init__(self, amount: _Optional[int] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("room", "members", "count")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    room: str
    members: _containers.RepeatedScalarFieldContainer[str]
    count: int
    def __init__(self, room: _Optional[str] = ..., members: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ...) -> None: ...

class Said(_message.Message):
    __slots__ = ("heard_by",)
    HEARD_BY_FIELD_NUMBER: _ClassVar[int]
    heard_by: int
    def __init__(self, heard_by: _Optional[int] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Pong(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Refused(_message.Message):
    __slots__ = ("code", "text")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Arrived(_message.Message):
    __slots__ = ("number", "sender", "text", "returned")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    number: int
    sender: str
    text: str
    returned: bool
    def __init__(self, number: _Optional[int] = ..., sender: _Optional[str] = ..., text: _Optional[str] = ..., returned: bool = ...) -> None: ...

class Entered(_message.Message):
    __slots__ = ("room", "name")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    room: str
    name: str
    def __init__(self, room: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Left(_message.Message):
    __slots__ = ("room", "name")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    room: str
    name: str
    def __init__(self, room: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Heard(_message.Message):
    __slots__ = ("room", "sender", "text")
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    room: str
    sender: str
    text: str
    def __init__(self, room: _Optional[str] = ..., sender: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class LoggedOut(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("arrived", "entered", "left", "heard", "logged_out", "goodbye")
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    ENTERED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    LOGGED_OUT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    arrived: Arrived
    entered: Entered
    left: Left
    heard: Heard
    logged_out: LoggedOut
    goodbye: Goodbye
    def __init__(self, arrived: _Optional[_Union[Arrived, _Mapping]] = ..., entered: _Optional[_Union[Entered, _Mapping]] = ..., left: _Optional[_Union[Left, _Mapping]] = ..., heard: _Optional[_Union[Heard, _Mapping]] = ..., logged_out: _Optional[_Union[LoggedOut, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("tag", "log_in", "create_account", "deposit", "withdraw", "view_balance", "list_accounts", "send", "unread", "acknowledge", "delete_messages", "log_out", "join", "say", "ping", "leave", "delete_account")
    TAG_FIELD_NUMBER: _ClassVar[int]
    LOG_IN_FIELD_NUMBER: _ClassVar[int]
    CREATE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    VIEW_BALANCE_FIELD_NUMBER: _ClassVar[int]
    LIST_ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    UNREAD_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    DELETE_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    LOG_OUT_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    SAY_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    DELETE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    tag: int
    log_in: LogIn
    create_account: CreateAccount
    deposit: Deposit
    withdraw: Withdraw
    view_balance: ViewBalance
    list_accounts: ListAccounts
    send: Send
    unread: Unread
    acknowledge: Acknowledge
    delete_messages: DeleteMessages
    log_out: LogOut
    join: Join
    say: Say
    ping: Ping
    leave: Leave
    delete_account: DeleteAccount
    def __init__(self, tag: _Optional[int] = ..., log_in: _Optional[_Union[LogIn, _Mapping]] = ..., create_account: _Optional[_Union[CreateAccount, _Mapping]] = ..., deposit: _Optional[_Union[Deposit, _Mapping]] = ..., withdraw: _Optional[_Union[Withdraw, _Mapping]] = ..., view_balance: _Optional[_Union[ViewBalance, _Mapping]] = ..., list_accounts: _Optional[_Union[ListAccounts, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., unread: _Optional[_Union[Unread, _Mapping]] = ..., acknowledge: _Optional[_Union[Acknowledge, _Mapping]] = ..., delete_messages: _Optional[_Union[DeleteMessages, _Mapping]] = ..., log_out: _Optional[_Union[LogOut, _Mapping]] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., say: _Optional[_Union[Say, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., leave: _Optional[_Union[Leave, _Mapping]] = ..., delete_account: _Optional[_Union[DeleteAccount, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("tag", "account", "accounts", "sent", "mail", "balance", "joined", "said", "done", "pong", "refused", "arrived", "entered", "left", "heard", "deleted", "closed", "logged_out", "goodbye")
    TAG_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    MAIL_FIELD_NUMBER: _ClassVar[int]
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    SAID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_FIELD_NUMBER: _ClassVar[int]
    ENTERED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    LOGGED_OUT_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    tag: int
    account: Account
    accounts: Accounts
    sent: Sent
    mail: Mail
    balance: Balance
    joined: Joined
    said: Said
    done: Done
    pong: Pong
    refused: Refused
    arrived: Arrived
    entered: Entered
    left: Left
    heard: Heard
    deleted: Deleted
    closed: Closed
    logged_out: LoggedOut
    goodbye: Goodbye
    def __init__(self, tag: _Optional[int] = ..., account: _Optional[_Union[Account, _Mapping]] = ..., accounts: _Optional[_Union[Accounts, _Mapping]] = ..., sent: _Optional[_Union[Sent, _Mapping]] = ..., mail: _Optional[_Union[Mail, _Mapping]] = ..., balance: _Optional[_Union[Balance, _Mapping]] = ..., joined: _Optional[_Union[Joined, _Mapping]] = ..., said: _Optional[_Union[Said, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., arrived: _Optional[_Union[Arrived, _Mapping]] = ..., entered: _Optional[_Union[Entered, _Mapping]] = ..., left: _Optional[_Union[Left, _Mapping]] = ..., heard: _Optional[_Union[Heard, _Mapping]] = ..., deleted: _Optional[_Union[Deleted, _Mapping]] = ..., closed: _Optional[_Union[Closed, _Mapping]] = ..., logged_out: _Optional[_Union[LoggedOut, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...
