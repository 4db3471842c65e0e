# Completion of virtwatch for bash: the program itself says what may follow.

_virtwatch() {
        local line=${COMP_LINE:0:COMP_POINT} candidate typed tail
        local -a words

        # As they were typed: COMP_WORDS has them in pieces at each ":" and "=".
        read -ra words <<< "$line"
        [[ $line != *[[:space:]] ]] || words+=("")
        typed=${words[-1]}
        tail=${typed##*=}
        COMPREPLY=()
        while IFS=$'\t' read -r candidate _; do
                if [[ $candidate == :files ]]; then
                        compopt -o filenames
                        mapfile -t COMPREPLY < <(compgen -f -- "${typed#--*=}")
                        return
                fi
                [[ $candidate != *= ]] || compopt -o nospace
                # Only what follows the last of those is replaced.
                [[ $COMP_WORDBREAKS != *=* || $typed != *=* ]] || candidate=${candidate#"${typed%=*}="}
                [[ $COMP_WORDBREAKS != *:* || $tail != *:* ]] || candidate=${candidate#"${tail%:*}:"}
                [[ -z $candidate ]] || printf -v candidate %q "$candidate" # the daemon may be anybody's
                COMPREPLY+=("$candidate")
        done < <("$1" complete -- "${words[@]:1}" 2> /dev/null)
}
complete -F _virtwatch virtwatch
