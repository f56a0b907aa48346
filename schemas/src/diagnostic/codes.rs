//! The one table of codes. A code keeps its meaning for ever: scripts and searches depend on it. New problems get new
//! numbers; numbers of problems that are gone are not used again.

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

            /// What it means, in a sentence.
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
    MissingKey = "S011", "A key that is needed is missing.";
    WrongType = "S012", "A value of the wrong type, such as text in the place of a number.";
    UnknownKind = "S013", "A word that is not one of the choices.";
    NotOneKind = "S014", "A thing that must be a map with one key, its kind, has none or several.";
    InvalidValue = "S015", "A value that does not read, such as a quantity without its unit.";
    Template = "S020", "A template expression that cannot be read or computed.";
    UndefinedVariable = "S021", "A template expression names a variable that does not exist.";
    UnknownOverride = "S022", "The command line sets a variable that the scenario does not have.";
    UnusedVariable = "S023", "A variable that no template expression uses.";
    Version = "S030", "A version of the format that this program does not read.";
    Name = "S031", "A name with characters that it may not have.";
    DuplicateName = "S032", "A name that is given twice.";
    NothingThere = "S033", "No phase, no load, or an empty list where something is needed.";
    ExactlyOne = "S040", "None or several of keys of which exactly one is needed.";
    Service = "S041", "A service without its port, or with a name that cannot be one.";
    Url = "S042", "A URL that is not one.";
    LoadLimit = "S043", "A number of a load that is outside its range.";
    Request = "S044", "A method, path, header or status that HTTP does not have.";
    File = "S046", "A file that cannot be read, or does not hold what it should.";
    RequestData = "S047", "Data of requests that is not there, or cannot stand where it does.";
    AnswerCheck = "S048", "A check of answers that cannot be made.";
    Transport = "S049", "Versions, connections or TLS that do not fit together.";
    SelectsAll = "S050", "A selector that can match everything.";
    Narrowing = "S051", "A count or percentage that makes no sense.";
    Peer = "S052", "The other end of a link is missing or ambiguous.";
    Cidr = "S053", "A block of addresses that is not one.";
    Ports = "S054", "Ports where none can be.";
    SelfPartition = "S055", "A partition of pods from themselves.";
    Expression = "S056", "A label expression that says nothing.";
    Proof = "S057", "A way to prove a fault that it cannot have.";
    Degradation = "S058", "A fault that does nothing, or that its engine cannot do.";
    Manifest = "S059", "An object that cannot be created, or conditions that say nothing.";
    ZeroDuration = "S060", "A phase, timeout or fault without any time.";
    Settle = "S061", "A settling time that leaves nothing of its phase.";
    FaultTime = "S062", "A fault that begins or ends outside its phase.";
    Pace = "S063", "A pace that sends nothing, does not fit into its phase, or is not one of its load.";
    OtherPace = "S064", "A comparison of phases in which a load has different paces.";
    UnknownPhase = "S070", "A phase that does not exist.";
    PhaseOrder = "S071", "A phase that is compared with one that does not come before it.";
    UnknownLoad = "S072", "A load that does not exist.";
    Limits = "S073", "An expectation without limits, or with limits that nothing can meet.";
    LimitRange = "S074", "A limit outside what can be observed.";
    NoRecovery = "S075", "A recovery with nothing to recover from.";
    RecoveryWindow = "S076", "Windows, a hold or tolerances with which recovery cannot be seen.";
    TightRatio = "S077", "A ratio so close to 1 that chance decides.";
    AlwaysTrue = "S078", "An expectation that cannot fail.";
    Effect = "S079", "An effect that nothing could have.";
    StopCondition = "S080", "A stop condition that can never hold, or always does.";
    BlastRadius = "S081", "A blast radius that says nothing or allows nothing.";
    Including = "S082", "Requests around a fault where there is none.";
    TooFew = "S083", "A question that the requests of its phase are too few to answer.";
    NotFelt = "S084", "A fault while no load is sent.";
    LongTimeout = "S085", "A timeout that no request can reach within the run.";
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
