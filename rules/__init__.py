"""Rules: YAML and CEL in, typed rules and decisions out. Logic only, no input or output.

What the engine uses (everything else is inside):

``rules.loader.load(files, known_detectors=None) -> RuleSet``
    `files` maps file name → YAML text. Raises :class:`rules.problems.RuleErrors` with *all*
    problems of all files. ``RuleSet.warnings`` has what is suspicious but legal.
    `known_detectors` maps name → :class:`rules.build.DetectorFacts` (params, facts, grain);
    default: what :mod:`detectors` has registered, with the facts that each explains itself by.
``rules.compile.CompiledRule(rule)``
    ``.signals`` local names · ``.due_signals`` those whose ``.due`` decides · ``.columns`` dotted
    names that :meth:`mask` can use (``silence.due``, ``silence.evidence``, ``silence.facts.hours``,
    ``silence.ready``, ``fused``, ``now.hour``, ``context.absent``, ``cars.count`` …) ·
    ``.mask(columns)`` bool array, a superset of where `when` is met, and exactly it if
    ``.mask_exact`` and all of ``.columns`` were given (scalars broadcast; a missing column counts
    as "could be anything") · ``.decide(variables) -> Decision`` by CEL.
    `unless` is not part of the mask; ``decide`` checks it.
``rules.compile.Decision``
    ``met`` and ``holds`` (True, False, or None = cannot be told: no data), ``blocked_by``
    (label of the `unless` that applies, or None), ``cancels`` (it also cancels a firing alert),
    ``level`` (level now, timed promotions left out), ``promotions`` (bit i:
    ``rule.promotions[i].when`` holds), ``clauses`` (text, value, operands).
``rules.masks.Graph``, ``Masks``; ``CompiledRule.add_to(graph, prefix)``
    Masks of many rules at once: equal clauses are evaluated once, in parts that fit the cache.
Variables of ``decide`` (plain dicts, numbers, strings)
    per signal by local name: ``{"ready": bool, "due": bool, "urgency": int, "evidence": float,
    "p_value": float, "onset_s": float (age of the episode), "utilities": ["electricity"] (those
    that the subject's meters have), "facts": {name: float}}``; per ``events`` entry what
    ``rules.windows.look`` returns; ``fused`` (computed if not given); ``subject {id, kind, attrs,
    place}``; ``context {absent, area_outage, dead_concentrator, maintenance, approved_work,
    holiday}``, each true when it *explains the present episode*; ``now {hour, minute, weekday
    (1 = Monday), rest_day, month, season}`` local; ``alerts`` names of the rules now firing on
    this subject or on a place that contains it.
    NaN, None and everything of a signal that is not ready are *unknown*: an expression that
    needs them is neither met nor false.
``rules.windows.look(use, events, now_ns) -> Look``
    `events`: recent :class:`rules.windows.Happening` (ts_ns, kind, attrs, event_id) of the scope.
    A look has ``variables`` (count, distinct, seen, age_s, first_age_s, followed, unfollowed,
    value, evidence), ``onset_ns``, ``next_ns`` (when it changes without new events: set a timer)
    and ``events`` (ids that count). ``kinds(use)``, ``horizon_s(use)``: what to keep, how long.
``rules.lifecycle.Timing.of(rule)``, ``observe(timing, life, at_ns, Observation) -> (Life, [Change])``,
``advance(timing, life, to_ns) -> (Life, [Change])``, ``life.deadline_ns(timing)``
    One :class:`Life` (plain ints, snapshot as a tuple) per rule × subject that is not idle.
    ``IDLE`` is the start; a life that equals ``IDLE`` need not be kept. Changes carry their exact
    event time; deadlines before `at_ns` are worked off first.
``rules.texts.reason(text, variables, zone_offset_s=0) -> {"zh": …, "en": …}``
    Renders ``rule.texts.raised`` … over the same variables as ``decide`` plus ``alert {onset_s_utc,
    at_s_utc, level, cause}``.
``rules.silences.Silence``, ``silenced_by``
    What keeps alerts from sending people, with author, reason and an end.
``rules.calendar.load_calendars(files) -> Calendars``; ``.rest_days(country, first_day, days)``
    bool array, ``.holiday(country, day)`` (None: unknown), ``.known(country, year)``.
``rules.permits.expand(attrs, first_day, days, zone) -> [Interval(start_ns, end_ns, kw)]``;
``problems(attrs)`` says what of a subject's permits could not be read (it permits nothing).
``rules.unittest``: ``parse(files) -> [Case]``, ``run_all(cases, run)``, ``compare(case, changes)``,
``report(results)``, ``junit_xml(results)``; ``Case.columns()`` readings; cases of signals run by
``rules.rehearsal.run(case, rules)``, all others (``case.whole``) by the engine.
``rules.docs.page(rule, lang)``, ``index(rules, lang)``; ``rules.schema.schema() -> dict``.
"""
