//! The table of codes. A code never changes its meaning, because scripts and searches depend on it. New problems get
//! new numbers. Numbers of removed problems are not reused.

macro_rules! codes {
    ($($name:ident = $id:literal, $summary:literal;)*) => {
        /// The kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $summary] $name,)*
        }

        impl Code {
            /// All codes, in the order of their ids.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it is printed, such as `S012`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// Its meaning, in one sentence.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary),* }
            }
        }
    };
}

codes! {
    Unreadable = "S001", "The file is too big, not UTF-8, or not text.";
    Syntax = "S002", "The file is not YAML.";
    DuplicateKey = "S003", "A map has the same key twice.";
    Limit = "S004", "The file is nested too deeply, or its anchors expand to too much.";
    Documents = "S005", "The file has no content, or more than one document.";
    More = "S006", "There are more problems than are shown.";
    OtherFile = "S007", "The file of another tool.";
    UnknownKey = "S010", "A key that does not exist here.";
    MissingKey = "S011", "A required key is missing.";
    WrongType = "S012", "A value of the wrong type, such as text in place of a number.";
    UnknownKind = "S013", "A word that is not one of the choices.";
    NotOneKind = "S014", "A map that must have one key, its kind, has none or several.";
    InvalidValue = "S015", "A value that cannot be read, such as a quantity without its unit.";
    Template = "S020", "A template expression that cannot be read or computed.";
    UndefinedVariable = "S021", "A template expression names a variable that does not exist.";
    UnknownOverride = "S022", "The command line sets a variable that the scenario does not have.";
    UnusedVariable = "S023", "A variable that no template expression uses.";
    VariableValue = "S024", "A variable without a value, or with one that is not allowed.";
    Reuse = "S025", "A part in another file that cannot be used.";
    Version = "S030", "A version of the format that this program does not read.";
    Name = "S031", "A name with invalid characters.";
    DuplicateName = "S032", "A name that is given twice.";
    NothingThere = "S033", "No phase, no load, or an empty list where an element is required.";
    ExactlyOne = "S040", "None or several of a set of keys of which exactly one is required.";
    Service = "S041", "A service without its port, or with an invalid name.";
    Url = "S042", "An invalid URL.";
    LoadLimit = "S043", "A number of a load that is outside its range.";
    Request = "S044", "A method, path, header or status that is invalid in HTTP.";
    File = "S046", "A file that cannot be read, or has the wrong content.";
    RequestData = "S047", "Request data that does not exist, or is not allowed in its place.";
    AnswerCheck = "S048", "A condition on answers that cannot be checked.";
    Transport = "S049", "Options of HTTP versions, connections or TLS that exclude each other.";
    SelectsAll = "S050", "A selector that can match everything.";
    Narrowing = "S051", "A count or percentage that makes no sense.";
    Peer = "S052", "The other end of a link is missing or ambiguous.";
    Cidr = "S053", "An invalid CIDR block.";
    Ports = "S054", "Ports where none are allowed.";
    SelfPartition = "S055", "A partition of pods from themselves.";
    Expression = "S056", "A label expression without an effect.";
    Proof = "S057", "A proof that the fault does not support.";
    Degradation = "S058", "A fault without an effect, or one that its engine does not support.";
    Manifest = "S059", "An object that cannot be created, or conditions that cannot hold.";
    ZeroDuration = "S060", "A phase, timeout or fault with a duration of zero.";
    Settle = "S061", "A settling time that covers its whole phase.";
    FaultTime = "S062", "A fault that begins or ends outside its phase.";
    Pace = "S063", "A pace that sends nothing, does not fit into its phase, or belongs to the other kind of loop.";
    OtherPace = "S064", "A comparison of phases in which a load has different paces.";
    UnknownPhase = "S070", "A phase that does not exist.";
    PhaseOrder = "S071", "A comparison with a phase that is not earlier.";
    UnknownLoad = "S072", "A load that does not exist.";
    Limits = "S073", "An expectation without limits, or with limits that no value can meet.";
    LimitRange = "S074", "A limit outside what can be observed.";
    NoRecovery = "S075", "A recovery with nothing to recover from.";
    RecoveryWindow = "S076", "Windows, a hold or tolerances with which recovery cannot be seen.";
    TightRatio = "S077", "A ratio so close to 1 that chance decides.";
    AlwaysTrue = "S078", "An expectation that cannot fail.";
    Effect = "S079", "An effect in a phase without faults, or without a phase to compare with.";
    StopCondition = "S080", "A stop condition that can never hold, or always does.";
    BlastRadius = "S081", "A blast radius without a limit, or with a limit of zero.";
    Including = "S082", "Requests around a fault in a phase without faults.";
    TooFew = "S083", "An expectation that needs more requests than its phase has.";
    NotFelt = "S084", "A fault while no load is sent.";
    LongTimeout = "S085", "A timeout that is longer than all phases.";
    Unobserved = "S086", "A recovery that is not observed, because the next faults follow immediately.";
    OtherData = "S087", "A proof by requests whose data differs between the phases.";
    Call = "S088", "A call in a topology that nothing answers, or that comes back to its caller.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        let ids: Vec<&str> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(Code::ALL.iter().all(|code| code.summary().ends_with('.')));
    }
}
