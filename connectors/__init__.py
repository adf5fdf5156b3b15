"""The edges: record formats, files, quarantine. Moves data, decides nothing.

How the engine uses it
----------------------
Tables of the city (every problem of a file at once, as ``TableError``)::

    from connectors.tables import read_meters, read_subjects, read_places
    from connectors.people import read_workers, read_contacts
    subjects = read_subjects(path)          # SubjectsTable: pyarrow columns + numpy arrays
    meters = read_meters(path)              # MetersTable

The registry fills a directory, which may grow while sources are being read::

    from connectors.normalise import Directory
    book = Directory(
        zones=["Europe/Madrid"],            # IANA names; zone columns index into it
        meter_zone=..., meter_interval_s=..., meter_fault=...,   # by registry row
        subject_zone=...,
    )
    book.meters.put(ids, rows)              # connectors.ids.IdMap: pa.StringArray, int32 rows
    book.subjects.put(ids, rows)
    book.meters.lookup(ids)                 # → int32 rows, −1 = unknown

Sources, merged lazily into one log::

    from connectors.sources import ReadingSource
    from connectors.events import EventSource
    from connectors.merge import Log, source_state
    log = Log([ReadingSource(path, book), EventSource(path, book)], block_rows=None)
    for record in log:                      # ReadingBlock | Event, by (arrival, source, row)
        ...
        saved = log.state()                 # after this record: {source name: {...}}
    log.problems                            # InputErrors: inputs whose end could not be read
    log.progress()                          # (share 0 … 1, known?)
    # later, in a new process
    log = Log([ReadingSource(path, book, state=source_state(saved, path)), ...])

Rows that cannot be processed keep their place in the blocks, with ``fault`` set (``Fault``) and
their text in ``raw``; the engine adds the faults that only it can find and gives all of them to::

    from connectors.quarantine import QuarantineWriter
    with QuarantineWriter("quarantine.csv") as out:     # also ndjson, parquet, ipc; None = nowhere
        out.block(block, fault)             # rows with fault > 0
        out.event(event)
        offset = out.offset()               # durable up to here; JSON-able
    QuarantineWriter("quarantine.csv", resume=offset)

Anything that cannot be used at all raises ``connectors.errors.InputError`` (what, where, got,
wanted, what to do); what breaks in the middle is used up to the break and then named by
``log.problems``: print them and exit with 3.

Other edges: ``connectors.writers.RowWriter(path, schema)`` writes any format, and the file appears
only when complete; ``connectors.progress.Progress(label, log.progress)`` shows how far a run is;
``connectors.zones.instant_ns(text, zone, end=...)`` reads times in attributes (spans of absences and
works), which events keep as they were written.

Stamps are int64 nanoseconds UTC; ``connectors.stamps.NO_TIME`` where there is none. A row's
``arrival_ns`` is always set.
"""
