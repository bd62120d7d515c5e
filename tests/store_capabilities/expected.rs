//! Which rules reject which fault.

use super::broken::Fault;

/// Each fault with all the rules that reject it; that of the same promise is always among them.
pub(super) const EXPECTED: &[(Fault, &[&str])] = &[
    (Fault::None, &[]),
    (
        Fault::LosesTheOrder,
        &[
            "history_keeps_what_was_said",
            "history_keeps_to_its_limits",
            "concurrent_appends_keep_their_order",
        ],
    ),
    (Fault::AppendRaces, &["concurrent_appends_keep_their_order"]),
    (
        Fault::AppendKeepsTheFirstOnly,
        &["history_keeps_what_was_said", "history_keeps_to_its_limits"],
    ),
    (
        Fault::IgnoresTheCount,
        &[
            "history_keeps_to_its_limits",
            "history_is_summed_up",
            "concurrent_appends_keep_their_order",
        ],
    ),
    (Fault::IgnoresTheBytes, &["history_keeps_to_its_limits"]),
    (
        Fault::KeepsOneTooMany,
        &[
            "history_keeps_to_its_limits",
            "history_is_summed_up",
            "concurrent_appends_keep_their_order",
        ],
    ),
    (Fault::KeepsOneByteTooFew, &["history_keeps_to_its_limits"]),
    (Fault::KeepsTheOldest, &["history_keeps_to_its_limits"]),
    (
        Fault::CountsWhatIsKept,
        &[
            "history_keeps_to_its_limits",
            "history_is_summed_up",
            "concurrent_appends_keep_their_order",
        ],
    ),
    (Fault::CountsOneRole, &["history_is_summed_up"]),
    (Fault::ForgetsTheFirst, &["history_is_summed_up"]),
    (
        Fault::RecentGivesTheOldest,
        &["history_keeps_what_was_said"],
    ),
    (
        Fault::ClearDoesNothing,
        &["history_is_cleared", "histories_are_isolated"],
    ),
    (Fault::ClearKeepsTheNumbers, &["history_is_cleared"]),
    (
        Fault::SharesHistories,
        &["history_keeps_to_its_limits", "histories_are_isolated"],
    ),
    (Fault::AppendsToTheUnknown, &["history_is_of_the_living"]),
    (Fault::AppendsToTheExpired, &["history_is_of_the_living"]),
    (Fault::AppendsAtTheDeadline, &["history_is_of_the_living"]),
    (Fault::AppendsToTheEnded, &["history_is_of_the_living"]),
    (Fault::ReadsOfTheDead, &["history_is_of_the_living"]),
    (
        Fault::AppendMovesTheDeadline,
        &["history_is_of_the_living", "an_append_is_no_use"],
    ),
    (Fault::AppendIsAnActivity, &["an_append_is_no_use"]),
    (Fault::AppendChangesTheRevision, &["an_append_is_no_use"]),
    (Fault::LosesOddCharacters, &["history_keeps_what_was_said"]),
    (Fault::LosesMetadata, &["history_keeps_what_was_said"]),
    (
        Fault::RepeatsAtPageEnds,
        &[
            "a_list_shows_each_session_once",
            "a_list_of_an_owner_shows_no_others",
        ],
    ),
    (
        Fault::SkipsAtPageEnds,
        &[
            "a_list_shows_each_session_once",
            "a_list_goes_on_while_sessions_begin_and_end",
            "a_list_of_an_owner_shows_no_others",
        ],
    ),
    (
        Fault::EndsAtTheFirstPage,
        &[
            "a_list_shows_each_session_once",
            "a_list_goes_on_while_sessions_begin_and_end",
            "a_list_of_an_owner_shows_no_others",
        ],
    ),
    (
        Fault::LosesItsPlace,
        &["a_list_goes_on_while_sessions_begin_and_end"],
    ),
    (
        Fault::PagesIgnoreTheirLimit,
        &[
            "a_list_shows_each_session_once",
            "a_list_goes_on_while_sessions_begin_and_end",
            "a_list_of_an_owner_shows_no_others",
        ],
    ),
    (
        Fault::ListsOutOfOrder,
        &[
            "a_list_shows_each_session_once",
            "a_list_goes_on_while_sessions_begin_and_end",
            "a_list_shows_the_living",
            "a_list_of_an_owner_shows_no_others",
            "bar_ends_what_began_by_then",
        ],
    ),
    (Fault::ListsTheExpired, &["a_list_shows_the_living"]),
    (Fault::ListsAtTheDeadline, &["a_list_shows_the_living"]),
    (
        Fault::ListsTheEnded,
        &["a_list_shows_the_living", "bar_ends_what_began_by_then"],
    ),
    (
        Fault::ListsAllOwners,
        &["a_list_of_an_owner_shows_no_others"],
    ),
    (
        Fault::ListsNobodysForAll,
        &["a_list_of_an_owner_shows_no_others"],
    ),
    (Fault::ListsWhatWas, &["a_list_shows_each_session_once"]),
    (Fault::CountsTheExpired, &["a_list_shows_the_living"]),
    (
        Fault::CountsTheEnded,
        &[
            "a_list_shows_the_living",
            "bar_ends_what_began_by_then",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (Fault::InspectsTheExpired, &["a_list_shows_the_living"]),
    (
        Fault::InspectsTheEnded,
        &["a_list_shows_the_living", "bar_ends_what_began_by_then"],
    ),
    (
        Fault::BarForgetsItsMark,
        &[
            "bar_refuses_what_was_under_way",
            "bar_moves_forward_only",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (
        Fault::BarOnlyMarks,
        &[
            "bar_ends_what_began_by_then",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (
        Fault::BarSparesTheVeryMillisecond,
        &[
            "bar_ends_what_began_by_then",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (Fault::BarEndsLaterOnes, &["bar_ends_what_began_by_then"]),
    (
        Fault::BarEndsOthers,
        &[
            "bar_ends_what_began_by_then",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (Fault::BarEndsNobodys, &["bar_ends_what_began_by_then"]),
    (Fault::BarMovesBack, &["bar_moves_forward_only"]),
    (
        Fault::BarIsTheFirstOne,
        &[
            "bar_moves_forward_only",
            "bar_wins_over_a_create_at_the_same_time",
        ],
    ),
    (Fault::BarIsForgottenAtCleanUp, &["bar_moves_forward_only"]),
    (Fault::BarRefusesOthers, &["bar_refuses_what_was_under_way"]),
    (
        Fault::CreateRacesWithBar,
        &["bar_wins_over_a_create_at_the_same_time"],
    ),
    (
        Fault::BarMarksAtItsEnd,
        &["bar_wins_over_a_create_at_the_same_time"],
    ),
];
